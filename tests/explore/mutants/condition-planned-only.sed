# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: a condition is looked at when the batch is planned, not when every head is capped
s/^\t\trc = vp_words_check(e, b, res, err);/\t\trc = 0;/
