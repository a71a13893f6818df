# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: a hold ends when it returns
/^static int hold_first/,/^}/s/^\tl->held = first;/&\n\tatomic_store(\&first->hold, false);/
