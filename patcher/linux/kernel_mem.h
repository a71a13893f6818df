/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a Linux guest's kernel image is, and its memory by kernel address.
 *
 * The image lies in one piece of guest-physical memory for as long as the kernel runs, so within it
 * an address is one subtraction away from the memory, however many vCPUs and page tables there are.
 */
#ifndef VP_LINUX_KERNEL_MEM_H
#define VP_LINUX_KERNEL_MEM_H

#include "linux/blob.h"
#include "x86/tables.h"

#include <vmpoke/target.h>

/* The part of the address space where the image and the modules are
 * (Documentation/arch/x86/x86_64/mm). */
#define VP_KERNEL_MAP	  0xffffffff80000000ull
#define VP_KERNEL_MAP_END 0xffffffffc0000000ull /* of the image, with KASLR; then come modules */

/* Where modules are, and what else is made while the kernel runs; the image, too, with KASLR. */
#define VP_MODULES_MAP	   0xffffffffa0000000ull
#define VP_MODULES_MAP_END 0xffffffffff000000ull

/* The address that the image is linked for (CONFIG_PHYSICAL_START), if nothing says otherwise. */
#define VP_KERNEL_LINKED 0xffffffff81000000ull

/* A stretch of the image whose pages have the same rights. */
struct vp_kernel_run {
	uint64_t start, len;
	bool writable, nx;
};

#define VP_KERNEL_RUNS_MAX 512u

struct vp_tables;

struct vp_kernel_mem {
	struct vp_target *t;
	struct vp_paging space; /* page tables for what lies outside the image */
	vp_gva text;		/* the first byte of the image: _text */
	vp_gpa text_phys;
	uint64_t end;	     /* behind the last byte of the image */
	unsigned int levels; /* of the page tables: 4 or 5 */
	struct vp_kernel_run
		runs[VP_KERNEL_RUNS_MAX]; /* ascending, not touching unless rights differ */
	size_t nruns;
	struct vp_tables *kept; /* page tables that reads have seen; NULL: none are kept */
};

/*
 * Find the image by the page tables of the vCPUs, each held for a moment. Locked (target.h).
 * -ENOENT: no vCPU has a kernel image where Linux has it.
 */
int vp_kernel_mem_find(struct vp_target *t, struct vp_kernel_mem *out, struct vp_err *err);

/* As vp_walk(), by other page tables: @cr3 in place of the space's own. -EFAULT: not mapped. */
int vp_kernel_mem_walk(const struct vp_kernel_mem *m, uint64_t cr3, vp_gva addr, vp_gpa *out,
		       struct vp_err *err);

/* A page that is mapped, or the rest of one: @len bytes from @addr on. */
typedef int vp_page_fn(void *arg, vp_gva addr, uint64_t len, const struct vp_map *map);

/* Call @fn for each in [from, to), ascending, until it returns non-zero; return that. */
int vp_kernel_mem_each(const struct vp_kernel_mem *m, vp_gva from, vp_gva to, vp_page_fn *fn,
		       void *arg, struct vp_err *err);

/* Where the memory at @addr is, and how many bytes of it lie there in one piece. -EFAULT. */
int vp_kernel_mem_place(const struct vp_kernel_mem *m, vp_gva addr, vp_gpa *out, uint64_t *left,
			struct vp_err *err);

/* Read by kernel address: one read of the target for each piece that is contiguous. -EFAULT. */
int vp_kernel_mem_read(const struct vp_kernel_mem *m, vp_gva addr, void *buf, size_t len,
		       struct vp_err *err);

/*
 * Keep page tables between reads, from now on afresh, until drop: for many reads in a short time.
 * What is kept may be out of date. -ENOMEM.
 */
int vp_kernel_mem_keep(struct vp_kernel_mem *m);
void vp_kernel_mem_drop(struct vp_kernel_mem *m);

/* May code run at @addr? Errors: the page tables could not be read. */
int vp_kernel_mem_is_code(const struct vp_kernel_mem *m, vp_gva addr, bool *code,
			  struct vp_err *err);

/* Is @addr in a part of the image that was mapped read-only when the image was found? */
bool vp_kernel_mem_is_sealed(const struct vp_kernel_mem *m, vp_gva addr);

/* With PTI a CR3 has this bit set in user mode, and the full page tables are one page before
 * (PTI_PGTABLE_SWITCH_BIT, arch/x86/entry/calling.h). */
#define VP_CR3_PTI_USER 0x1000ull

/* Begin with no page table of @t read. */
void vp_kernel_mem_tables(struct vp_tables *tab, struct vp_target *t);

#endif /* VP_LINUX_KERNEL_MEM_H */
