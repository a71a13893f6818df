# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: who is not needed after all is not woken
/^static int hold_first/,/^}/s/^\tif (any)/\tif (0)/
