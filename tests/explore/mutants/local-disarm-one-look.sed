# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: a vCPU disarms without a second look
/^static void serve_arming/,/^}/s/^\t\twant = atomic_load(&v->l->want_armed);$//
