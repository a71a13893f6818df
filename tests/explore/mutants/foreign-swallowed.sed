# SPDX-License-Identifier: Apache-2.0
# file: patcher/x86/trap.c
# what: the guest's own int3 is taken for a late trap (S6)
s/return f->int3 ? VP_TRAP_FOREIGN : VP_TRAP_RERUN;/return VP_TRAP_RERUN;/
