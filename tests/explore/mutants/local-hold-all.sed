# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: hold() keeps all that it has asked
/^static int hold_first/,/^}/s/^\t\tatomic_store(&l->vcpus\[i\]->hold, false);/\t\t(void)0;/
