/* SPDX-License-Identifier: Apache-2.0 */
/* pr_debug() and the like are silent: nobody could switch on what the guest has not registered. */
#ifndef VMPOKE_KERNEL_LINUX_DYNAMIC_DEBUG_H
#define VMPOKE_KERNEL_LINUX_DYNAMIC_DEBUG_H

#include_next <linux/dynamic_debug.h>

#undef DYNAMIC_DEBUG_BRANCH
#define DYNAMIC_DEBUG_BRANCH(descriptor) 0

#endif /* VMPOKE_KERNEL_LINUX_DYNAMIC_DEBUG_H */
