/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where this kernel keeps what in its structures, by its own type information (BTF,
 * Documentation/bpf/btf.rst). Pure: bytes in, offsets out.
 */
#ifndef VP_LINUX_MODULE_LAYOUT_H
#define VP_LINUX_MODULE_LAYOUT_H

#include "linux/blob.h"

/* Debian's kernels have 4 to 6 MB. */
#define VP_BTF_MAX ((size_t)64 << 20)

#define VP_MODULE_MAX	     0x4000u /* bytes of struct module, which has 900 to 1400 */
#define VP_MODULE_PIECES_MAX 16u

/* In struct module, but where another is named. */
struct vp_module_layout {
	uint32_t size; /* 0: unknown, the rest says nothing */
	uint32_t list, state, name, name_size, kallsyms;
	uint32_t symtab, num_symtab, strtab; /* in struct mod_kallsyms */
	/* Its pieces of memory (struct module_memory, before 6.4 one struct module_layout). */
	uint32_t pieces, npieces, piece_size;
	uint32_t piece_base, piece_len;	  /* in a piece */
	uint32_t jump_entries, num_jumps; /* both 0: without CONFIG_JUMP_LABEL */
};

/* False: @btf is damaged, or its kernel has no such modules. @out is untouched then. */
bool vp_module_layout_find(const struct vp_blob *btf, struct vp_module_layout *out);

#endif /* VP_LINUX_MODULE_LAYOUT_H */
