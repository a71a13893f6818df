# SPDX-License-Identifier: Apache-2.0
# file: patcher/x86/trap.c
# what: the resume rule is applied while the batch is taken back
s/if (f->in_table && !f->undoing)/if (f->in_table)/
