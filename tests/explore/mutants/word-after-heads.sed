# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the word is changed after the new heads, when nothing can be taken back
s/return rc ? rc : vp_words_swap(e, b, res, err);/return rc;/
s/^\trc = uncap_heads(e, b, true, res, err);/\trc = uncap_heads(e, b, true, res, err);\n\tif (!rc)\n\t\trc = vp_words_swap(e, b, res, err);/
