# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: a hold that times out holds its vCPU
/^static int hold_first/,/^}/s/if (!among\[i\] || (!rc && l->vcpus\[i\] == first))/if (!among[i] || rc || l->vcpus[i] == first)/
