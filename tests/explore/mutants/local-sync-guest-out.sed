# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: sync() takes a vCPU in the guest for one outside
/^static bool has_serialized/,/^}/s/!= VP_MODE_GUEST/!= VP_MODE_TRAP/
