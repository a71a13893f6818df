# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the tails are written before the heads are capped
/^static int prepare(/,/^}/{
	s/rc = cap_heads(.*/rc = write_tails(e, b, \&any_tail, res, err);\n\t&/
	s/rc = recheck(e, b, false, .*/rc = 0;/
}
