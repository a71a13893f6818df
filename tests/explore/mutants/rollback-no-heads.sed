# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the rollback leaves the int3
/uncap_heads(e, b, false, res, NULL);/d
