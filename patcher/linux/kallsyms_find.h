/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a kallsyms table, found in a kernel's read-only data. Offsets are the blob's. */
#ifndef VP_LINUX_KALLSYMS_FIND_H
#define VP_LINUX_KALLSYMS_FIND_H

#include "linux/blob.h"

#define VP_TOKENS 256u

/* How the 32-bit numbers of kallsyms_offsets tell an address. */
enum vp_kallsyms_mode {
	VP_KALLSYMS_BASE,     /* relative_base + offset */
	VP_KALLSYMS_ABSOLUTE, /* offset >= 0: the address itself; else relative_base - 1 - offset */
	VP_KALLSYMS_PLACE,    /* where the number stands + offset */
};

struct vp_kallsyms_parts {
	uint64_t num_syms, names, names_end, token_table, token_index, offsets;
	uint32_t n;
	enum vp_kallsyms_mode mode;
	uint64_t relative_base; /* an address; not for VP_KALLSYMS_PLACE */
};

/* Errors as vp_kallsyms_decode(). */
int vp_kallsyms_find(const struct vp_blob *rodata, vp_gva text, uint64_t end,
		     struct vp_kallsyms_parts *out, struct vp_err *err);

/* The length byte or bytes (ULEB128, at most two) of the name at @off. False: damaged. */
bool vp_kallsyms_name_len(const struct vp_blob *b, uint64_t off, uint32_t *header, uint32_t *len);

/* The address that entry @i of kallsyms_offsets tells. */
bool vp_kallsyms_addr(const struct vp_blob *b, const struct vp_kallsyms_parts *p, uint32_t i,
		      uint64_t *addr);

#endif /* VP_LINUX_KALLSYMS_FIND_H */
