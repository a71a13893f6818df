# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: quiesce() takes any trap for another one
/has_left_trap(struct/,/^}/s/ != before->of\[v->id\]/ != 0/
