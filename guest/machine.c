/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/machine.h"

#include <stddef.h>

#include "guest/testguest.h"
#include "guest/user.h"

#define IDT_VECTORS 32

struct idt_gate {
	uint16_t offset_low, selector, type, offset_mid;
	uint32_t offset_high, reserved;
};

_Static_assert(offsetof(struct tg_frame, rax) == 0x70, "F_RAX of entry.S");
_Static_assert(offsetof(struct tg_frame, rip) == 0x88, "F_RIP of entry.S");
_Static_assert(offsetof(struct tg_frame, rsp) == 0xa0, "F_RSP of entry.S");

extern const char tg_trap_entries[];

static volatile struct idt_gate idt[IDT_VECTORS] __attribute__((aligned(16)));

void tg_out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

void tg_print(const char *s)
{
	for (; *s; s++)
		tg_out8(VP_PORT_CONSOLE, (uint8_t)*s);
}

static void print_hex(uint64_t value)
{
	tg_print("0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		tg_out8(VP_PORT_CONSOLE, (uint8_t) "0123456789abcdef"[(value >> shift) & 15]);
}

void tg_fatal(const struct tg_frame *f, uint64_t id)
{
	tg_print("testguest: unexpected exception ");
	print_hex(f->vector);
	tg_print(" at ");
	print_hex(f->rip);
	tg_print(" on vCPU ");
	print_hex(id);
	tg_print("\n");
	asm volatile("outl %0, %w1" ::"a"((uint32_t)(TG_EXIT_FATAL + f->vector)),
		     "Nd"(VP_PORT_EXIT));
	for (;;)
		asm volatile("hlt");
}

void tg_load_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uint64_t)idt };

	for (unsigned int i = 0; i < IDT_VECTORS; i++) {
		uint64_t entry = (uint64_t)tg_trap_entries + i * 16;

		idt[i].offset_low = (uint16_t)entry;
		idt[i].offset_mid = (uint16_t)(entry >> 16);
		idt[i].offset_high = (uint32_t)(entry >> 32);
		idt[i].selector = VP_GUEST_CS;
		/* Present, 64-bit interrupt gate, no IST; DPL 0, or 3 for an int3 at CPL 3. */
		idt[i].type = TG_USER && i == TG_VECTOR_BP ? 0xee00 : 0x8e00;
	}
	/*
	 * Interrupts on, although none can arrive: there is no interrupt controller. A host that
	 * is itself emulated may leave the guest for its own interrupts, and so for our kicks,
	 * only while the guest has them on (Bochs 2.7's VMX; tests/rigs).
	 */
	asm volatile("lidt %0\n\tsti" ::"m"(idtr));
}
