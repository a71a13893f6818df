# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_trap.c
# what: a vCPU in a trap counts as in the guest
/^int vp_local_trap/,/^}/s/^\tatomic_store(&v->mode, VP_MODE_TRAP);$//
