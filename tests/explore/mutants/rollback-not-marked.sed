# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the rollback does not mark the table: new code is still done
/atomic_store_explicit(&b->undoing, true/d
