/* SPDX-License-Identifier: Apache-2.0 */
/* How a vCPU thread serializes. */
#ifndef VP_TARGET_SERIALIZE_H
#define VP_TARGET_SERIALIZE_H

/*
 * Execute a serializing instruction (SDM vol. 3, section 9.3; APM vol. 2, section 7.6.4) on this
 * core: SERIALIZE where the CPU has it. Else IRET to the next instruction, as the Linux kernel's
 * own iret_to_self() does: under nested virtualization it is a hundred times cheaper than CPUID,
 * which exits to the hypervisor. With a user shadow stack IRET would need a token there: then
 * CPUID.
 */
void vp_serialize(void);

#endif /* VP_TARGET_SERIALIZE_H */
