# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick is the flag alone
/^int vp_local_kick/,/^}/s/sent = !syscall(SYS_tgkill.*$/sent = true;/
