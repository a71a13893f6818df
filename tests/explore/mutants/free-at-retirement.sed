# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the memory of the table is freed when it is retired
/^static void table_retire(/,/^}/s/vp_batch_retire(e, b);/vp_batch_free(b);/
