# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local.c
# what: who stays out for others is not let go
/^static void op_unlock/,/^}/s/^\tvp_local_end_gathering.*$//
