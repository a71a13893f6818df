# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: it looks again before it says that it is not armed
/^static void serve_arming/,/^}/{
/^\t\tatomic_store(&v->armed, false);/d
s/^\t\twant = atomic_load(&v->l->want_armed);/&\n\t\tatomic_store(\&v->armed, false);/
}
