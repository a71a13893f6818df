# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_await.c
# what: the asker looks before it says that it waits
/^int vp_local_await/,/^}/{
/^\tatomic_store(&l->waiting, true);/d
s/^\twhile (!(there = done(l, arg)) && !rc)/\twhile (!(there = done(l, arg)) \&\& !rc) {\n\t\tatomic_store(\&l->waiting, true);/
s/^\t\trc = pthread_cond_timedwait.*$/&\n\t}/
}
