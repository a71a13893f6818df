# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: a hold ends when it returns
/^static int hold_one/,/^}/s/^\treturn rc;/\tif (!rc)\n\t\tatomic_store(\&v->hold, false);\n\treturn rc;/
