/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A static call goes through its trampoline, which the kernel keeps right; its key is not needed,
 * and need not be found in the guest.
 */
#ifndef VMPOKE_KERNEL_LINUX_STATIC_CALL_TYPES_H
#define VMPOKE_KERNEL_LINUX_STATIC_CALL_TYPES_H

#include_next <linux/static_call_types.h>

#undef __STATIC_CALL_ADDRESSABLE
#define __STATIC_CALL_ADDRESSABLE(name)
#undef __STATIC_CALL_MOD_ADDRESSABLE
#define __STATIC_CALL_MOD_ADDRESSABLE(name)

#endif /* VMPOKE_KERNEL_LINUX_STATIC_CALL_TYPES_H */
