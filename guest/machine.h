/* SPDX-License-Identifier: Apache-2.0 */
/* What our guests share: ports, the console, exceptions. A guest gives tg_main() and tg_trap(). */
#ifndef VP_GUEST_MACHINE_H
#define VP_GUEST_MACHINE_H

#include <stdint.h>
#include <vmpoke/guest.h>

#define TG_VECTOR_BP 3

/* As pushed by entry.S. */
struct tg_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss; /* by the CPU */
};

/* The guest's own: where each vCPU begins, and what every exception comes to. */
void tg_main(uint64_t id, volatile const struct vp_boot_info *info);
void tg_trap(struct tg_frame *f);

void tg_out8(uint16_t port, uint8_t value);
void tg_print(const char *s);

/* An exception that nobody expected: the guest itself is broken, or badly damaged. */
void tg_fatal(const struct tg_frame *f, uint64_t id);

/* Each vCPU writes the same values into the one IDT, so nobody need be first. */
void tg_load_idt(void);

#endif /* VP_GUEST_MACHINE_H */
