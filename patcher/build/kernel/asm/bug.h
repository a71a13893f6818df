/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WARN without the guest's table of bugs: a call of what the trap would have called, in the same
 * words. Each use has its own flag for _ONCE, as it would have an entry of the table. BUG stays a
 * ud2: the guest does not find it in its table, and dies as it would; where it was is said before.
 */
#ifndef VMPOKE_KERNEL_ASM_BUG_H
#define VMPOKE_KERNEL_ASM_BUG_H

#include_next <asm/bug.h>

#ifndef __ASSEMBLY__

#define VMPOKE_WARN(flags, say)                                                 \
	do {                                                                    \
		static _Bool vmpoke_warned;                                     \
                                                                                \
		if (!((flags)&BUGFLAG_ONCE) || !vmpoke_warned) {                \
			if ((flags)&BUGFLAG_ONCE)                               \
				vmpoke_warned = 1;                              \
			say;                                                    \
			__warn(__FILE__, __LINE__, __builtin_return_address(0), \
			       (unsigned int)(flags) >> 8, NULL, NULL);         \
		}                                                               \
	} while (0)

#define VMPOKE_CUT_HERE(flags)                         \
	do {                                           \
		if (!((flags)&BUGFLAG_NO_CUT_HERE))    \
			printk(KERN_DEFAULT CUT_HERE); \
	} while (0)

#undef __WARN_FLAGS
#ifdef HAVE_ARCH_BUG_FORMAT_ARGS /* 7.x: the condition is told, and formats go with it */
#define __WARN_FLAGS(condition, flags) VMPOKE_WARN(flags, VMPOKE_CUT_HERE(flags))
#undef __WARN_print_arg
#define __WARN_print_arg(flags, format, arg...) VMPOKE_WARN(flags, __warn_printk(format, ##arg))
#else
#define __WARN_FLAGS(flags) VMPOKE_WARN(flags, VMPOKE_CUT_HERE(flags))
#endif

#undef BUG
#define BUG()                                                                   \
	do {                                                                    \
		printk(KERN_CRIT "kernel BUG at %s:%d!\n", __FILE__, __LINE__); \
		__asm__ volatile("ud2");                                        \
		__builtin_unreachable();                                        \
	} while (0)

#endif /* __ASSEMBLY__ */

#endif /* VMPOKE_KERNEL_ASM_BUG_H */
