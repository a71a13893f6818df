# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_trap.c
# what: a parked vCPU cannot be interrupted
/^static void park(/,/^}/s/ || atomic_load(&v->interrupt)//
