# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: arm() looks who is armed before it says that it wants that
/^int vp_local_arm_all/,/^}/{
/^\t\tatomic_store(&l->want_armed, true);/d
s/^\tif (all)/\tatomic_store(\&l->want_armed, true);\n&/
}
