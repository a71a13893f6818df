# SPDX-License-Identifier: Apache-2.0
# break: arm
# what: arm() returns before every vCPU is armed
