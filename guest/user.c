/* SPDX-License-Identifier: Apache-2.0 */
/* What the test guest needs to run its workers at CPL 3. See user.h. */
#include "guest/user.h"

#define PTE_P	 1ull
#define PTE_USER 4ull

#define USER_CS	    0x23
#define USER_DS	    0x2b
#define GDT_TSS	    6 /* index of vCPU 0's TSS descriptor; each takes two entries */
#define GDT_ENTRIES (GDT_TSS + 2 * VP_GUEST_VCPU_MAX)

#define TSS_BYTES 0x68u

/* Interrupts on, see load_idt() in main.c; IOPL 3, for `out`. */
#define USER_RFLAGS 0x3202

struct tss {
	uint32_t reserved;
	uint32_t rsp0_low, rsp0_high;
	uint32_t rest[22];
	uint16_t reserved2, io_map;
} __attribute__((aligned(128)));

static volatile uint64_t gdt[GDT_ENTRIES] __attribute__((aligned(16)));
static volatile struct tss tss[VP_GUEST_VCPU_MAX];
static uint8_t stacks[VP_GUEST_VCPU_MAX][4096] __attribute__((aligned(4096)));

uint64_t tg_user_stack(uint64_t id)
{
	return (uint64_t)stacks[id] + sizeof(stacks[id]) - 8;
}

/*
 * The boot page tables are supervisor-only; open them to CPL 3. All vCPUs do so, with the same
 * result. Tables follow each other from the PML4 on; the first empty one is beyond the last.
 */
static void open_pages(volatile const struct vp_boot_info *info)
{
	uint64_t tables = info->direct_map + info->ram_bytes - VP_GUEST_TABLES_SIZE;
	volatile uint64_t *entry = (volatile uint64_t *)tables;
	uint64_t cr3, any;

	do {
		any = 0;
		for (unsigned int i = 0; i < 512; i++, entry++) {
			if (*entry & PTE_P)
				*entry |= PTE_USER;
			any |= *entry;
		}
	} while (any);
	asm volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(cr3)::"memory");
}

/* Entries as docs/guest-abi.md has them, CPL 3's, and a TSS for each vCPU. */
static void load_gdt_and_tss(uint64_t id)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) gdtr = { sizeof(gdt) - 1, (uint64_t)gdt };
	uint64_t at = (uint64_t)&tss[id];
	uint64_t rsp0 = VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS + (id + 1) * VP_GUEST_STACK_SIZE;

	tss[id].rsp0_low = (uint32_t)rsp0;
	tss[id].rsp0_high = (uint32_t)(rsp0 >> 32);
	tss[id].io_map = TSS_BYTES;
	gdt[VP_GUEST_CS / 8] = 0x00af9b000000ffff;
	gdt[VP_GUEST_DS / 8] = 0x00cf93000000ffff;
	gdt[USER_CS / 8] = 0x00affb000000ffff;
	gdt[USER_DS / 8] = 0x00cff3000000ffff;
	gdt[GDT_TSS + 2 * id] = 0x0000890000000000 | (TSS_BYTES - 1) | (at & 0xffffff) << 16 |
				(at >> 24 & 0xff) << 56;
	gdt[GDT_TSS + 2 * id + 1] = at >> 32;
	asm volatile("lgdt %0\n\tltr %w1" ::"m"(gdtr), "r"((GDT_TSS + 2 * id) * 8));
}

_Noreturn void tg_user_enter(uint64_t id, volatile const struct vp_boot_info *info, uint64_t worker,
			     uint64_t arg)
{
	open_pages(info);
	load_gdt_and_tss(id);
	asm volatile("pushq %0\n\tpushq %1\n\tpushq %2\n\tpushq %3\n\tpushq %4\n\t"
		     "outb %%al, %5" ::"i"(USER_DS),
		     "r"(tg_user_stack(id)), "i"(USER_RFLAGS), "i"(USER_CS), "r"(worker),
		     "i"(TG_PORT_IRET), "D"(arg)
		     : "memory");
	for (;;)
		; /* not reached: IRET goes elsewhere */
}
