# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: kicks are forgotten after mode says GUEST
/^static bool enter/,/^}/{
/^\t\tvp_local_clear_kick(v);/d
s/^\t\tserve_arming(v);/\t\tvp_local_clear_kick(v);\n&/
}
