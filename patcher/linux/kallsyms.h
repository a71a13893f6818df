/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symbol table that a Linux kernel carries in its read-only data (scripts/kallsyms.c of each
 * kernel makes it). Pure: bytes in, symbols out.
 */
#ifndef VP_LINUX_KALLSYMS_H
#define VP_LINUX_KALLSYMS_H

#include "linux/blob.h"

#include <vmpoke/symbol.h>

/* No kernel has more; so what a hostile one claims stays affordable. */
#define VP_KALLSYMS_MAX	      (1u << 21)
#define VP_KALLSYMS_NAMES_MAX ((size_t)128 << 20)

struct vp_kallsyms_entry {
	uint64_t addr; /* as if _text were at VP_KERNEL_LINKED; below 2^31: absolute (per-CPU) */
	uint32_t name; /* offset in names */
	bool global;   /* no source's own; of a per-CPU one before 6.15 it is not told: true */
};

/* The symbols of one kernel, whatever its slide, ascending by address. */
struct vp_kallsyms {
	struct vp_kallsyms_entry *entries;
	size_t n;
	char *names;
	size_t names_len;
};

/*
 * Find the table in @rodata, of a kernel whose _text is at @text and whose image ends at @end, and
 * decode it. Owned by the caller: vp_kallsyms_free().
 * -ENOENT: there is none. -EBADMSG: it contradicts itself, or there are several. -ENOMEM.
 */
int vp_kallsyms_decode(const struct vp_blob *rodata, vp_gva text, uint64_t end,
		       struct vp_kallsyms *out, struct vp_err *err);
void vp_kallsyms_free(struct vp_kallsyms *k);

/* A table for lookups by name and address of a kernel whose _text is at @text. -ENOMEM. */
int vp_kallsyms_symtab(const struct vp_kallsyms *k, vp_gva text, struct vp_symtab **out,
		       struct vp_err *err);

#endif /* VP_LINUX_KALLSYMS_H */
