# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the word is changed when the heads are capped, where the batch may still be rolled back
s/^\trc = recheck(e, b, false, res, err);/\trc = vp_words_swap(e, b, res, err);\n\tif (!rc)\n\t\trc = recheck(e, b, false, res, err);/
s/return rc ? rc : vp_words_swap(e, b, res, err);/return rc;/
