# SPDX-License-Identifier: Apache-2.0
# break: topology
# what: the lock does not cover topology: a vCPU appears in mid-batch (S10)
