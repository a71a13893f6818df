# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: nobody is told of an answer
/^static bool enter/,/^}/s/^\t\t\tvp_local_notify(v->l);$//
