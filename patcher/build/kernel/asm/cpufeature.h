/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU feature is looked up where it would have been patched in at boot. */
#ifndef VMPOKE_KERNEL_ASM_CPUFEATURE_H
#define VMPOKE_KERNEL_ASM_CPUFEATURE_H

#include_next <asm/cpufeature.h>

#ifdef static_cpu_has
#undef static_cpu_has
#define static_cpu_has(bit) boot_cpu_has(bit)
#endif
#ifdef _static_cpu_has /* from 7.3 on */
#undef _static_cpu_has
#define _static_cpu_has(bit) boot_cpu_has(bit)
#endif

#endif /* VMPOKE_KERNEL_ASM_CPUFEATURE_H */
