# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the new heads are written before the new tails
s/rc = write_tails(e, b, &any_tail, res, err);/{\n\t\trc = uncap_heads(e, b, true, res, err);\n\t\trc = rc ? rc : write_tails(e, b, \&any_tail, res, err);\n\t}/
s/^\t\trc = recheck(e, b, true, res, err);/\t\trc = 0;/
