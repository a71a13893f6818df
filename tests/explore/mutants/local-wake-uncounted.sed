# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a wake-up leaves what is slept on as it was
/^static void wake(/,/^}/s/^\tatomic_fetch_add(word, 1);$//
