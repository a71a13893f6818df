/* SPDX-License-Identifier: Apache-2.0 */
/* The memory and register state at a guest's entry. docs/guest-abi.md is the contract. */
#include "vmm/internal.h"
#include <errno.h>
#include <string.h>

/* Page table bits (SDM vol. 3, tables 4-15 to 4-20). Accessed and dirty are set beforehand. */
#define PTE_P	 (1ull << 0)
#define PTE_W	 (1ull << 1)
#define PTE_A	 (1ull << 5)
#define PTE_D	 (1ull << 6)
#define PTE_PS	 (1ull << 7)
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

#define TSS_AT	  (VP_GUEST_GDT + 0x100)
#define TSS_BYTES 0x68u

/* "64-bit code, accessed", "data, writable, accessed", "64-bit TSS, busy" (SDM vol. 3, 3.4.5). */
#define DESC_CODE     0x00af9b000000ffffull
#define DESC_DATA     0x00cf93000000ffffull
#define DESC_TSS_BUSY 0x00008b0000000000ull

void *vp_ram_at(const struct vp_ram *ram, uint64_t gpa, uint64_t len)
{
	if (gpa > ram->bytes || len > ram->bytes - gpa)
		return NULL;
	return ram->base + gpa;
}

static uint64_t *table_at(const struct vp_boot *b, uint64_t gpa)
{
	return vp_ram_at(&b->ram, gpa, VP_PAGE);
}

/* A zeroed page for a table; 0 if there is no room. */
static uint64_t table_new(struct vp_boot *b)
{
	uint64_t gpa = b->tables + b->used * VP_PAGE;

	if (b->used >= VP_GUEST_TABLES_SIZE / VP_PAGE)
		return 0;
	b->used++;
	memset(table_at(b, gpa), 0, VP_PAGE);
	return gpa;
}

/* The entry for @gva at @level (3: PDPT, 2: page directory, 1: page table); makes tables. */
static int entry_at(struct vp_boot *b, uint64_t gva, unsigned int level, uint64_t **out)
{
	uint64_t *entry = &table_at(b, b->tables)[gva >> 39 & 511];
	unsigned int at;

	for (at = 3;; at--) {
		if (*entry & PTE_PS)
			return -EEXIST;
		if (!(*entry & PTE_P)) {
			uint64_t table = table_new(b);

			if (!table)
				return -ENOSPC;
			*entry = table | PTE_P | PTE_W | PTE_A;
		}
		entry = &table_at(b, *entry & PTE_ADDR)[gva >> (12 + 9 * (at - 1)) & 511];
		if (at == level)
			break;
	}
	*out = entry;
	return 0;
}

int vp_boot_init(struct vp_boot *b, struct vp_ram ram, struct vp_err *err)
{
	uint64_t gpa, *entry;
	int rc;

	*b = (struct vp_boot){ .ram = ram, .tables = ram.bytes - VP_GUEST_TABLES_SIZE };
	if (ram.bytes < 2 * VP_GUEST_TABLES_SIZE || ram.bytes % VP_PAGE_2M || !table_new(b))
		return vp_err_set(err, -EINVAL, "RAM must be a multiple of 2 MiB, at least 4 MiB");
	for (gpa = 0; gpa < ram.bytes; gpa += VP_PAGE_2M) {
		rc = entry_at(b, VP_GUEST_DIRECT_MAP + gpa, 2, &entry);
		if (rc)
			return vp_err_set(err, rc, "RAM is too big for the boot page tables");
		*entry = gpa | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS | PTE_NX;
	}
	return 0;
}

int vp_boot_map(struct vp_boot *b, uint64_t gva, uint64_t gpa, bool writable, bool exec)
{
	uint64_t *entry;
	int rc = entry_at(b, gva, 1, &entry);

	if (rc)
		return rc;
	if (*entry & PTE_P)
		return -EEXIST;
	*entry = (gpa & PTE_ADDR) | PTE_P | PTE_A | PTE_D;
	*entry |= (writable ? PTE_W : 0) | (exec ? 0 : PTE_NX);
	return 0;
}

struct vp_boot_info *vp_boot_info(const struct vp_ram *ram)
{
	return vp_ram_at(ram, VP_GUEST_BOOT_INFO, sizeof(struct vp_boot_info));
}

void vp_boot_write(const struct vp_boot *b, unsigned int vcpus)
{
	uint64_t tss = VP_GUEST_DIRECT_MAP + TSS_AT;
	uint64_t gdt[5] = {
		0,
		DESC_CODE,
		DESC_DATA,
		/* The base is spread over the descriptor. */
		DESC_TSS_BUSY | (TSS_BYTES - 1) | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56,
		tss >> 32,
	};
	uint8_t *tss_page = vp_ram_at(&b->ram, TSS_AT, TSS_BYTES);

	memcpy(vp_ram_at(&b->ram, VP_GUEST_GDT, sizeof(gdt)), gdt, sizeof(gdt));
	memset(tss_page, 0, TSS_BYTES);
	tss_page[0x66] = TSS_BYTES; /* I/O map base beyond the limit: no map */
	*vp_boot_info(&b->ram) = (struct vp_boot_info){
		.magic = VP_BOOT_MAGIC,
		.version = VP_BOOT_VERSION,
		.vcpus = vcpus,
		.ram_bytes = b->ram.bytes,
		.direct_map = VP_GUEST_DIRECT_MAP,
	};
}

void vp_boot_entry(const struct vp_boot *b, unsigned int id, vp_gva entry, struct kvm_sregs *sregs,
		   struct kvm_regs *regs)
{
	struct kvm_segment null = { .unusable = 1 };
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = VP_GUEST_DS,
		.type = 3,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
	struct kvm_segment code = data;

	code.selector = VP_GUEST_CS;
	code.type = 11;
	code.l = 1;
	code.db = 0;
	sregs->cs = code;
	sregs->ss = sregs->ds = sregs->es = data;
	sregs->fs = sregs->gs = sregs->ldt = null;
	sregs->tr = (struct kvm_segment){
		.base = VP_GUEST_DIRECT_MAP + TSS_AT,
		.limit = TSS_BYTES - 1,
		.selector = VP_GUEST_TR,
		.type = 11,
		.present = 1,
	};
	sregs->gdt = (struct kvm_dtable){ VP_GUEST_DIRECT_MAP + VP_GUEST_GDT, 5 * 8 - 1, { 0 } };
	sregs->idt = (struct kvm_dtable){ 0 };
	sregs->cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
	sregs->cr2 = 0;
	sregs->cr3 = b->tables;
	sregs->cr4 = 0x620;  /* OSXMMEXCPT, OSFXSR, PAE */
	sregs->efer = 0xd01; /* NXE, LMA, LME, SCE */
	memset(sregs->interrupt_bitmap, 0, sizeof(sregs->interrupt_bitmap));

	*regs = (struct kvm_regs){
		.rip = entry.v,
		.rflags = 2,
		.rdi = id,
		.rsi = VP_GUEST_DIRECT_MAP + VP_GUEST_BOOT_INFO,
		.rsp = VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS + (id + 1ull) * VP_GUEST_STACK_SIZE -
		       8,
	};
}
