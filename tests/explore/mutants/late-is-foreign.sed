# SPDX-License-Identifier: Apache-2.0
# file: patcher/x86/trap.c
# what: a late trap is given to the guest (S5)
s/return f->int3 ? VP_TRAP_FOREIGN : VP_TRAP_RERUN;/return VP_TRAP_FOREIGN;/
