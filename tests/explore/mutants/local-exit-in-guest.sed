# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: a vCPU that is back at the VMM counts as in the guest
/^int vp_local_run/,/^}/s/^\t\tset_mode(v, VP_MODE_OUT);$//
