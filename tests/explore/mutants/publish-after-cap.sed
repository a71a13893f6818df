# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the table is published after the int3 stands (S3)
/^static int prepare(/,/^}/{
	/table_publish(e, b);/d
	s/rc = cap_heads(.*/&\n\ttable_publish(e, b);/
}
