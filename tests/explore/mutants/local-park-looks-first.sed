# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_trap.c
# what: a parked vCPU looks before it samples what it sleeps on
/^static void park(/,/^}/{
/^\t\tuint32_t changes = /d
s/^\t\tvp_local_sleep(v, &l->changes, changes, /\t\tvp_local_sleep(v, \&l->changes, atomic_load(\&l->changes), /
}
