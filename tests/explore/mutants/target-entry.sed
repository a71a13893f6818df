# SPDX-License-Identifier: Apache-2.0
# break: entry
# what: a vCPU enters the guest without serializing
