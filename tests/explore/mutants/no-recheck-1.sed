# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the bytes are not checked again after sync 1
/^static int prepare(/,/^}/s/rc = recheck(e, b, false, res, err);/rc = 0;/
