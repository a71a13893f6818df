# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: a vCPU that KVM did not arm enters
/^static bool must_wait/,/^}/{
s/(atomic_load(&v->arm_error) && atomic_load(&v->l->want_armed))/0/
}
