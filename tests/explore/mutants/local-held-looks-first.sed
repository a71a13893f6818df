# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: a held vCPU looks before it samples what it sleeps on
/^static void wait_while_held/,/^}/{
/^\t\tuint32_t seen = /d
s/vp_local_sleep(v, &v->l->changes, seen, /vp_local_sleep(v, \&v->l->changes, atomic_load(\&v->l->changes), /
}
