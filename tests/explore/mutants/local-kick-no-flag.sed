# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick is a signal alone
/^int vp_local_kick/,/^}/s/^\t__atomic_or_fetch(.*$//
