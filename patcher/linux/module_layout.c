/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libbpf reads the BTF; the only place that includes it. It checks that each type and the texts lie
 * within the data. What it does not check is checked here: the byte order, that the types are
 * aligned, and whatever a member says of itself. Numbers of types and offsets of names it checks
 * when they are asked for.
 */
#include "linux/module_layout.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

/* struct btf_header: magic u16, version u8, flags u8, hdr_len u32, ... */
#define HDR_LEN 4u

/* A member of @t and its type. False: there is none of that name, of @size bytes, within @t. */
static bool find_member(const struct btf *btf, const struct btf_type *t, const char *name,
			int64_t size, uint32_t *off, uint32_t *type)
{
	const struct btf_member *m = btf_members(t);

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const char *s = btf__name_by_offset(btf, m[i].name_off);
		uint32_t bit = btf_member_bit_offset(t, i);
		int64_t len;

		if (!s || strcmp(s, name))
			continue;
		len = btf__resolve_size(btf, m[i].type);
		if (len <= 0 || (size && len != size) || bit % 8 ||
		    btf_member_bitfield_size(t, i) || bit / 8 + (uint64_t)len > t->size)
			return false;
		*off = bit / 8;
		*type = m[i].type;
		return true;
	}
	return false;
}

static bool member(const struct btf *btf, const struct btf_type *t, const char *name, int64_t size,
		   uint32_t *off)
{
	uint32_t type;

	return find_member(btf, t, name, size, off, &type);
}

static const struct btf_type *find_struct(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

/* Since 6.4 an array; before, one struct. Symbols can be had without. */
static void find_pieces(const struct btf *btf, const struct btf_type *module,
			struct vp_module_layout *l)
{
	const struct btf_type *t;
	uint32_t type, count = 1;

	if (find_member(btf, module, "mem", 0, &l->pieces, &type)) {
		t = btf__type_by_id(btf, type);
		if (!t || !btf_is_array(t))
			return;
		count = btf_array(t)->nelems;
		type = btf_array(t)->type;
	} else if (!find_member(btf, module, "core_layout", 0, &l->pieces, &type)) {
		return;
	}
	t = btf__type_by_id(btf, type);
	if (!t || !btf_is_struct(t) || !member(btf, t, "base", 8, &l->piece_base) ||
	    !member(btf, t, "size", 4, &l->piece_len))
		return;
	l->piece_size = t->size;
	l->npieces = count < VP_MODULE_PIECES_MAX ? count : VP_MODULE_PIECES_MAX;
}

static bool find_layout(const struct btf *btf, struct vp_module_layout *l)
{
	const struct btf_type *module = find_struct(btf, "module");
	const struct btf_type *kallsyms = find_struct(btf, "mod_kallsyms");
	uint32_t type;
	int64_t size;

	if (!module || !kallsyms || module->size > VP_MODULE_MAX ||
	    !member(btf, module, "list", 16, &l->list) ||
	    !member(btf, module, "state", 4, &l->state) ||
	    !find_member(btf, module, "name", 0, &l->name, &type) ||
	    !member(btf, module, "kallsyms", 8, &l->kallsyms) ||
	    !member(btf, kallsyms, "symtab", 8, &l->symtab) ||
	    !member(btf, kallsyms, "num_symtab", 4, &l->num_symtab) ||
	    !member(btf, kallsyms, "strtab", 8, &l->strtab))
		return false;
	size = btf__resolve_size(btf, type);
	l->name_size = (uint32_t)size;
	find_pieces(btf, module, l);
	if (!member(btf, module, "jump_entries", 8, &l->jump_entries) ||
	    !member(btf, module, "num_jump_entries", 4, &l->num_jumps))
		l->jump_entries = l->num_jumps = 0;
	l->size = module->size;
	return true;
}

bool vp_module_layout_find(const struct vp_blob *blob, struct vp_module_layout *out)
{
	struct vp_module_layout l = { 0 };
	libbpf_print_fn_t print;
	struct btf *btf;
	uint16_t magic;
	uint32_t header;
	bool ok = false;

	if (blob->len > VP_BTF_MAX || !vp_blob_u16(blob, 0, &magic) || magic != BTF_MAGIC ||
	    !vp_blob_u32(blob, HDR_LEN, &header) || header % 4)
		return false;
	print = libbpf_set_print(NULL); /* it would tell our user's terminal what it dislikes */
	btf = btf__new(blob->data, (uint32_t)blob->len);
	if (btf && !libbpf_get_error(btf))
		ok = find_layout(btf, &l);
	if (!libbpf_get_error(btf))
		btf__free(btf);
	libbpf_set_print(print);
	if (ok)
		*out = l;
	return ok;
}
