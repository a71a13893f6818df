# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: mode says GUEST when all has been looked at
/^static bool enter/,/^}/{
/^\t\tset_mode(v, VP_MODE_GUEST);/d
s/^\t\tif (atomic_load(&v->ack) != epoch) {/\t\tset_mode(v, VP_MODE_GUEST);\n&/
}
