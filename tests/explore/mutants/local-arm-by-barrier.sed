# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: arm() takes a barrier for an answer
/^int vp_local_arm_all/,/^}/s/VP_SYNC_EXIT/VP_SYNC_CORE/
