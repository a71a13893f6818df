# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: nobody is told of a change of mode
/^static void set_mode/,/^}/s/^\tvp_local_notify(v->l);$//
