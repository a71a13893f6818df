# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: a byte that was read before the heads were final is believed
s/if (f->open && f->int3 && /if (0 \&\& /
