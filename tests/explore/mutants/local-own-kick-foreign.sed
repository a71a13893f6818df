# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick of ours interrupts the VMM
/^bool vp_local_was_foreign/,/^}/s/|| !(flag & EXIT_OURS || kicked)/|| !kicked/
