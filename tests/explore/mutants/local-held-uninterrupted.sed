# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: a held vCPU cannot be interrupted
/^static void wait_while_held/,/^}/s/ || atomic_load(&v->interrupt)//
