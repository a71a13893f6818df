/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lock` as it is: the list of its places (.smp_locks) serves a kernel that finds itself on one CPU
 * at boot, and on a kernel that runs nobody reads ours.
 */
#ifndef VMPOKE_KERNEL_ASM_ALTERNATIVE_H
#define VMPOKE_KERNEL_ASM_ALTERNATIVE_H

#include_next <asm/alternative.h>

#undef LOCK_PREFIX_HERE
#define LOCK_PREFIX_HERE ""

#endif /* VMPOKE_KERNEL_ASM_ALTERNATIVE_H */
