# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_trap.c
# what: nobody is told that a vCPU left by a trap
/^int vp_local_trap/,/^}/s/^\tvp_local_notify(v->l);.*$//
