# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: hold() lets only one of those go on that it asked
/^static int hold_first/,/^}/s/^\t\tatomic_store(&l->vcpus\[i\]->hold, false);/\t\tif (!any)\n&/
