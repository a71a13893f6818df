# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: stop() takes a vCPU in a trap for one outside
/^static bool is_held/,/^}/s/== VP_MODE_OUT/!= VP_MODE_GUEST/
