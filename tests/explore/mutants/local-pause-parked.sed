# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: a pause waits for who is parked
/^static bool is_held/,/^}/s/ || mode == VP_MODE_PARK;/;/
