/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a boot loader leaves for Linux: zero page, memory map, command line, initrd, GDT, identity
 * page tables, registers (Linux, Documentation/arch/x86/boot.rst, "64-bit Boot Protocol", and
 * zero-page.rst).
 */
#include "vmm/kernel.h"
#include "x86/walk.h"
#include <asm/e820.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONSOLE	     "console=ttyS0"
#define CMDLINE_ROOM (VP_LINUX_LOW_END - VP_LINUX_CMDLINE)
#define LOADER_OTHER 0xffu

/* The selectors that the boot protocol asks for, and their descriptors: flat 64-bit code, data. */
#define BOOT_CS	  0x10u
#define BOOT_DS	  0x18u
#define DESC_CODE 0x00af9b000000ffffull
#define DESC_DATA 0x00cf93000000ffffull

#define PTE_TABLE 0x003ull /* present, writable */
#define PTE_LARGE 0x083ull /* the same, 2 MiB */
#define MAPPED	  (4ull << 30)
#define ENTRIES	  512u

#define CR0_PE	 (1ull << 0)
#define CR0_PG	 (1ull << 31)
#define CR0_NW	 (1ull << 29)
#define CR0_CD	 (1ull << 30)
#define CR4_PAE	 (1ull << 5)
#define EFER_LME (1ull << 8)

/* As high as the kernel allows: below it takes what it needs. */
static int write_initrd(const struct vp_ram *ram, const struct vp_kernel *k,
			const struct vp_linux_boot *boot, struct boot_params *zero,
			struct vp_err *err)
{
	uint64_t top = k->header.initrd_addr_max + 1ull, at;

	if (!boot->initrd_len)
		return 0;
	if (top > ram->bytes)
		top = ram->bytes;
	at = top < boot->initrd_len ? 0 : (top - boot->initrd_len) & ~(VP_PAGE - 1);
	if (at < k->end)
		return vp_err_set(err, -EINVAL,
				  "the initrd (%zu bytes) does not fit between the kernel's end at "
				  "0x%" PRIx64 " and 0x%" PRIx64 ": give more --memory",
				  boot->initrd_len, k->end, top);
	memcpy(vp_ram_at(ram, at, boot->initrd_len), boot->initrd, boot->initrd_len);
	zero->hdr.ramdisk_image = (uint32_t)at;
	zero->hdr.ramdisk_size = (uint32_t)boot->initrd_len;
	return 0;
}

static int write_cmdline(const struct vp_ram *ram, const struct vp_kernel *k, const char *append,
			 struct boot_params *zero, struct vp_err *err)
{
	size_t room = CMDLINE_ROOM, n;

	if (k->header.cmdline_size < room)
		room = k->header.cmdline_size + 1ull;
	n = (size_t)snprintf(vp_ram_at(ram, VP_LINUX_CMDLINE, room), room, CONSOLE "%s%s",
			     append && *append ? " " : "", append ? append : "");
	if (n >= room)
		return vp_err_set(err, -EINVAL,
				  "the command line has %zu bytes, this kernel takes %zu: shorten "
				  "--append",
				  n, room - 1);
	zero->hdr.cmd_line_ptr = VP_LINUX_CMDLINE;
	return 0;
}

static void add_e820(struct boot_params *zero, uint64_t from, uint64_t to, uint32_t type)
{
	zero->e820_table[zero->e820_entries++] =
		(struct boot_e820_entry){ .addr = from, .size = to - from, .type = type };
}

static void write_gdt(const struct vp_ram *ram)
{
	const uint64_t gdt[] = { 0, 0, DESC_CODE, DESC_DATA };

	memcpy(vp_ram_at(ram, VP_LINUX_GDT, sizeof(gdt)), gdt, sizeof(gdt));
}

/* The first 4 GiB onto themselves: PML4, PDPT, four page directories. */
static void write_tables(const struct vp_ram *ram)
{
	uint64_t *pml4 = vp_ram_at(ram, VP_LINUX_TABLES, 6 * VP_PAGE);
	uint64_t *pdpt = pml4 + ENTRIES, *pd = pdpt + ENTRIES, i;

	pml4[0] = (VP_LINUX_TABLES + VP_PAGE) | PTE_TABLE;
	for (i = 0; i < MAPPED >> 30; i++)
		pdpt[i] = (VP_LINUX_TABLES + (2 + i) * VP_PAGE) | PTE_TABLE;
	for (i = 0; i < MAPPED / VP_PAGE_2M; i++)
		pd[i] = i * VP_PAGE_2M | PTE_LARGE;
}

int vp_linux_write(const struct vp_ram *ram, const struct vp_kernel *kernel,
		   const struct vp_linux_boot *boot, struct vp_err *err)
{
	struct boot_params *zero = vp_ram_at(ram, VP_LINUX_ZERO, sizeof(*zero));
	int rc;

	if (!zero || ram->bytes <= VP_LINUX_ACPI + VP_PAGE)
		return vp_err_set(err, -EINVAL, "%" PRIu64 " bytes of RAM: Linux needs more",
				  ram->bytes);
	memset(zero, 0, sizeof(*zero));
	zero->hdr = kernel->header;
	zero->hdr.type_of_loader = LOADER_OTHER;
	rc = write_cmdline(ram, kernel, boot->append, zero, err);
	if (!rc)
		rc = write_initrd(ram, kernel, boot, zero, err);
	if (rc)
		return rc;
	zero->acpi_rsdp_addr = vp_acpi_write(ram, boot->vcpus);
	add_e820(zero, 0, VP_LINUX_LOW_END, E820_RAM);
	add_e820(zero, VP_LINUX_LOW_END, 0xa0000, E820_RESERVED);
	add_e820(zero, VP_LINUX_ACPI, 0x100000, E820_RESERVED);
	add_e820(zero, 0x100000, ram->bytes, E820_RAM);
	write_gdt(ram);
	write_tables(ram);
	return 0;
}

void vp_linux_entry(const struct vp_kernel *kernel, unsigned int id, struct vp_entry *entry)
{
	struct kvm_sregs *s = &entry->sregs;
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = BOOT_DS,
		.type = 3,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};

	entry->waits = id != 0;
	if (entry->waits)
		return; /* its SIPI tells where it starts, in real mode */
	s->ds = s->es = s->fs = s->gs = s->ss = s->cs = data;
	s->cs.selector = BOOT_CS;
	s->cs.type = 11;
	s->cs.l = 1;
	s->cs.db = 0;
	s->gdt.base = VP_LINUX_GDT;
	s->gdt.limit = 4 * 8 - 1;
	s->idt.limit = 0; /* an exception before the kernel has an IDT is a triple fault */
	s->cr3 = VP_LINUX_TABLES;
	s->cr4 = CR4_PAE;
	s->cr0 = (s->cr0 & ~(CR0_CD | CR0_NW)) | CR0_PG | CR0_PE;
	s->efer = EFER_LME | VP_EFER_LMA;
	entry->regs = (struct kvm_regs){
		.rip = kernel->entry,
		.rsi = VP_LINUX_ZERO,
		.rflags = 2,
	};
}
