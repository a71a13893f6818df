# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: a cap over a foreign tail is taken off at once: the guest's own text_poke may have written that tail
s/#define DOUBT_ROUNDS 3/#define DOUBT_ROUNDS 0/
