# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick is the flag alone
/^void vp_local_kick/,/^}/s/^\tsyscall(SYS_tgkill.*$//
