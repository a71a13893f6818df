/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tell.h"
#include "elf/symtab.h"
#include "linux/kallsyms.h"
#include "linux/kallsyms_find.h"
#include "linux/kernel_mem.h"

#include <errno.h>
#include <stdlib.h>

/* One symbol name, the kernel's own bound (KSYM_NAME_LEN), with its type and its NUL. */
#define NAME_MAX 513u

/* Nearly all are this short: then so many bytes are copied at once, which is one instruction. */
#define SHORT 16u

struct tokens {
	const char *text[VP_TOKENS];
	size_t len[VP_TOKENS];
	char head[VP_TOKENS][SHORT]; /* the first bytes of the text */
};

/* vp_kallsyms_find() has proved that all are there. */
static void load_tokens(const struct vp_blob *b, const struct vp_kallsyms_parts *p,
			struct tokens *t)
{
	for (unsigned int i = 0; i < VP_TOKENS; i++) {
		uint16_t at = 0;

		vp_blob_u16(b, p->token_index + 2u * i, &at);
		t->text[i] = vp_blob_text(b, p->token_table + at, NAME_MAX);
		t->len[i] = t->text[i] ? strlen(t->text[i]) : 0;
		if (t->len[i])
			memcpy(t->head[i], t->text[i], t->len[i] < SHORT ? t->len[i] : SHORT);
	}
}

/*
 * Write a name without its type, which is its first character, to @to. 0: it is too long. The type
 * is that of nm: a capital for what is global, weak ones among them.
 */
static size_t expand(const struct tokens *t, const uint8_t *packed, uint32_t n, char *to,
		     bool *global)
{
	char text[NAME_MAX + SHORT];
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		size_t add = t->len[packed[i]];

		if (add > NAME_MAX - 1 - len)
			return 0;
		memcpy(text + len, t->head[packed[i]], SHORT);
		if (add > SHORT)
			memcpy(text + len, t->text[packed[i]], add);
		len += add;
	}
	if (len < 2)
		return 0;
	*global = text[0] >= 'A' && text[0] <= 'Z';
	memcpy(to, text + 1, len - 1);
	to[len - 1] = '\0';
	return len;
}

#define NAME_MEAN 24u /* of the kernels that were seen, with its end: 23 on 6.1 */

/* For @n names: what is copied as it grows is dear, as is memory that was not touched before. */
static bool grow_names(struct vp_kallsyms *k, size_t *cap, uint32_t n)
{
	char *p;

	if (*cap - k->names_len >= NAME_MAX)
		return true;
	*cap = *cap ? *cap * 2 : (size_t)n * NAME_MEAN + NAME_MAX;
	if (*cap > VP_KALLSYMS_NAMES_MAX)
		return false;
	p = realloc(k->names, *cap);
	if (p)
		k->names = p;
	return p;
}

static int decode_names(const struct vp_blob *b, const struct vp_kallsyms_parts *p, vp_gva text,
			struct vp_kallsyms *k, struct vp_err *err)
{
	uint64_t off = p->names;
	struct tokens tokens;
	size_t cap = 0;

	memset(&tokens, 0, sizeof(tokens));
	load_tokens(b, p, &tokens);
	for (uint32_t i = 0; i < p->n; i++) {
		struct vp_kallsyms_entry *e = &k->entries[i];
		uint32_t header = 0, len = 0;
		const uint8_t *packed;
		size_t n;

		if (!(i % 4096))
			vp_tell_progress("decoding the kernel's symbols", i, p->n);
		if (!grow_names(k, &cap, p->n))
			return vp_err_set(err, -ENOMEM, "out of memory for %u kernel symbols",
					  p->n);
		if (!vp_kallsyms_name_len(b, off, &header, &len) ||
		    !(packed = vp_blob_at(b, off + header, len)) ||
		    !(n = expand(&tokens, packed, len, k->names + k->names_len, &e->global)) ||
		    !vp_kallsyms_addr(b, p, i, &e->addr))
			return vp_err_set(err, -EBADMSG,
					  "kernel symbol %u of %u is damaged: the guest's memory "
					  "makes no sense",
					  i, p->n);
		if (e->addr >= VP_KERNEL_MAP)
			e->addr -= text.v - VP_KERNEL_LINKED;
		e->name = (uint32_t)k->names_len;
		k->names_len += n;
		off += header + len;
	}
	k->n = p->n;
	vp_tell_progress("decoding the kernel's symbols", k->n, k->n);
	return 0;
}

int vp_kallsyms_decode(const struct vp_blob *rodata, vp_gva text, uint64_t end,
		       struct vp_kallsyms *out, struct vp_err *err)
{
	struct vp_kallsyms k = { 0 };
	struct vp_kallsyms_parts p;
	int rc = vp_kallsyms_find(rodata, text, end, &p, err);

	if (rc)
		return rc;
	k.entries = calloc(p.n, sizeof(*k.entries));
	rc = k.entries ? decode_names(rodata, &p, text, &k, err)
		       : vp_err_set(err, -ENOMEM, "out of memory for %u kernel symbols", p.n);
	if (rc)
		vp_kallsyms_free(&k);
	else
		*out = k;
	return rc;
}

void vp_kallsyms_free(struct vp_kallsyms *k)
{
	free(k->entries);
	free(k->names);
	memset(k, 0, sizeof(*k));
}

int vp_kallsyms_symtab(const struct vp_kallsyms *k, vp_gva text, struct vp_symtab **out,
		       struct vp_err *err)
{
	struct vp_symbol *symbols = calloc(k->n + 1, sizeof(*symbols));
	bool *global = calloc(k->n + 1, sizeof(*global));
	int rc;

	if (!symbols || !global) {
		free(symbols);
		free(global);
		return vp_err_set(err, -ENOMEM, "out of memory for %zu kernel symbols", k->n);
	}
	for (size_t i = 0; i < k->n; i++) {
		uint64_t addr = k->entries[i].addr;

		global[i] = k->entries[i].global;
		symbols[i].name = k->names + k->entries[i].name;
		symbols[i].addr =
			VP_GVA(addr >= VP_KERNEL_MAP ? addr + (text.v - VP_KERNEL_LINKED) : addr);
	}
	rc = vp_symtab_make_global(symbols, global, k->n, out, err);
	free(symbols);
	free(global);
	return rc;
}
