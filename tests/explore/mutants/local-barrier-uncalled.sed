# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: a barrier alone, which only who was called leaves the guest by
/^static int kick(/,/^}/s/= call_all(l, epoch, !in_place);/= in_place ? 1 : call_all(l, epoch, true);/
