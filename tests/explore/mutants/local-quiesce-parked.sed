# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: quiesce() does not wait for who is parked
/^static bool has_left_trap/,/^}/s/ && mode != VP_MODE_PARK)/)/
