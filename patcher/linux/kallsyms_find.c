/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No symbol tells where the symbols are, so they are found by their shape. scripts/kallsyms.c has
 * written these arrays one after the other into .rodata, in one of three orders:
 *
 *   to 6.3   offsets relative_base num_syms names markers [seqs_of_names] token_table token_index
 *   6.4 on   num_syms names markers token_table token_index offsets relative_base seqs_of_names
 *   7.0 on   num_syms names markers token_table token_index offsets seqs_of_names
 *
 * each aligned to 8 bytes, to 4 bytes since 7.0. token_table is 256 texts; those for the digits are
 * one digit each, which is what is searched for. token_index has the offset of each text, which
 * proves the find. Before it come the markers (where every 256th name begins), whose number and
 * place follow from num_syms: a number whose markers and names agree with each other is it.
 */
#include "linux/kallsyms_find.h"
#include "linux/kallsyms.h"
#include "linux/kernel_mem.h"

#include <errno.h>

#define SYMS_MIN   512u
#define PER_MARKER 256u

/* A name is a length and at least one byte; at most KSYM_NAME_LEN and two bytes of length. */
#define NAME_MIN 2u
#define NAME_MAX (512u + 2u)

/* Steps that a search may take: a table of the largest size is walked a few times, not more. */
#define STEPS_MAX (1u << 26)

struct search {
	const struct vp_blob *b;
	vp_gva text;
	uint64_t end;
	uint32_t steps;
	unsigned int found;
	struct vp_kallsyms_parts parts; /* the last found */
};

static uint64_t align_up(uint64_t off, uint64_t to)
{
	return (off + to - 1) & ~(to - 1);
}

static bool step(struct search *s)
{
	return s->steps < STEPS_MAX && ++s->steps;
}

/* --- tokens ------------------------------------------------------------------ */

/* Behind the text at @off; 0: it does not end, or is not of the characters of symbols. */
static uint64_t after_token(const struct vp_blob *b, uint64_t off)
{
	const char *text = vp_blob_text(b, off, NAME_MAX);
	size_t len = 0;

	if (!text)
		return 0;
	for (; text[len]; len++)
		if (text[len] <= ' ' || text[len] > '~')
			return 0;
	return off + len + 1;
}

/* Token '0' is at @digit0: find the rest, and prove it by the index. */
static bool check_tokens(const struct vp_blob *b, uint64_t digit0, uint64_t align,
			 struct vp_kallsyms_parts *p)
{
	uint64_t off = digit0;
	uint16_t back, at;

	for (unsigned int i = '0'; i < VP_TOKENS; i++)
		if (!(off = after_token(b, off)))
			return false;
	p->token_index = align_up(off, align);
	if (!vp_blob_u16(b, p->token_index + 2u * '0', &back) || back > digit0)
		return false;
	p->token_table = off = digit0 - back;
	if (off % align)
		return false;
	for (unsigned int i = 0; i < VP_TOKENS; i++) {
		if (!vp_blob_u16(b, p->token_index + 2u * i, &at) || at != off - p->token_table)
			return false;
		if (!(off = after_token(b, off)))
			return false;
	}
	return true;
}

/* --- names and markers ------------------------------------------------------- */

bool vp_kallsyms_name_len(const struct vp_blob *b, uint64_t off, uint32_t *header, uint32_t *len)
{
	const uint8_t *p = vp_blob_at(b, off, 1);

	if (!p)
		return false;
	*header = 1;
	*len = *p;
	if (*len & 0x80) {
		p = vp_blob_at(b, off, 2);
		if (!p || p[1] & 0x80)
			return false;
		*header = 2;
		*len = (*len & 0x7f) | (uint32_t)p[1] << 7;
	}
	return *len > 0 && *len < NAME_MAX;
}

/* Do the markers begin with 0 and rise as names of sensible length make them? Cheap, so first. */
static bool markers_rise(struct search *s, uint64_t markers, uint32_t count, uint64_t names_room)
{
	uint32_t before = 0, at;

	for (uint32_t i = 0; i < count; i++, before = at) {
		if (!step(s) || !vp_blob_u32(s->b, markers + 4ull * i, &at) || at >= names_room)
			return false;
		if (i == 0 ? at != 0
			   : at < before || at - before < PER_MARKER * NAME_MIN ||
				     at - before > PER_MARKER * NAME_MAX)
			return false;
	}
	return true;
}

/* Do all names agree with all markers, and end where the markers begin? */
static bool names_fit(struct search *s, struct vp_kallsyms_parts *p, uint64_t markers,
		      uint64_t align)
{
	uint64_t off = p->names;

	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t header, len, marker;

		if (i % PER_MARKER == 0 &&
		    (!vp_blob_u32(s->b, markers + 4ull * (i / PER_MARKER), &marker) ||
		     marker != off - p->names))
			return false;
		if (!step(s) || !vp_kallsyms_name_len(s->b, off, &header, &len))
			return false;
		off += header + len;
		if (off > markers)
			return false;
	}
	p->names_end = off;
	return align_up(off, align) == markers;
}

/* --- addresses --------------------------------------------------------------- */

bool vp_kallsyms_addr(const struct vp_blob *b, const struct vp_kallsyms_parts *p, uint32_t i,
		      uint64_t *addr)
{
	uint64_t at = p->offsets + 4ull * i;
	uint32_t raw;
	int32_t off;

	if (!vp_blob_u32(b, at, &raw))
		return false;
	off = (int32_t)raw;
	if (p->mode == VP_KALLSYMS_PLACE)
		*addr = b->base + at + (uint64_t)(int64_t)off;
	else if (p->mode == VP_KALLSYMS_BASE)
		*addr = p->relative_base + raw;
	else
		*addr = off >= 0 ? raw : p->relative_base - 1 - (uint64_t)(int64_t)off;
	return true;
}

/* The kernel looks addresses up by bisection, so they ascend; and they are the kernel's. */
static bool addresses_fit(struct search *s, const struct vp_kallsyms_parts *p)
{
	uint64_t before = 0, addr;

	for (uint32_t i = 0; i < p->n; i++, before = addr) {
		if (!step(s) || !vp_kallsyms_addr(s->b, p, i, &addr) || addr < before)
			return false;
		if (p->mode == VP_KALLSYMS_ABSOLUTE && !(addr >> 31))
			continue;
		if (addr < s->text.v || addr - s->text.v > VP_KERNEL_MAP_END - VP_KERNEL_MAP)
			return false;
	}
	return before >= s->text.v;
}

static bool any_negative(const struct search *s, const struct vp_kallsyms_parts *p)
{
	uint32_t raw;

	for (uint32_t i = 0; i < p->n; i++)
		if (vp_blob_u32(s->b, p->offsets + 4ull * i, &raw) && raw >> 31)
			return true;
	return false;
}

static void take_if_addresses_fit(struct search *s, const struct vp_kallsyms_parts *p)
{
	if (!addresses_fit(s, p))
		return;
	s->parts = *p;
	s->found++;
}

/* @offsets and, behind or before them, relative_base at @base: does that make sense? */
static void try_base(struct search *s, struct vp_kallsyms_parts p, uint64_t offsets, uint64_t base)
{
	if (!vp_blob_u64(s->b, base, &p.relative_base) || p.relative_base < s->text.v ||
	    p.relative_base >= s->end)
		return;
	p.offsets = offsets;
	p.mode = any_negative(s, &p) ? VP_KALLSYMS_ABSOLUTE : VP_KALLSYMS_BASE;
	take_if_addresses_fit(s, &p);
}

static void try_offsets(struct search *s, struct vp_kallsyms_parts p, uint64_t align, bool seqs)
{
	uint64_t bytes = 4ull * p.n, behind = p.token_index + 2ull * VP_TOKENS;

	if (align == 4) {
		p.offsets = behind;
		p.mode = VP_KALLSYMS_PLACE;
		take_if_addresses_fit(s, &p);
		return;
	}
	if (p.num_syms >= align_up(bytes, 8) + 8)
		try_base(s, p, p.num_syms - 8 - align_up(bytes, 8), p.num_syms - 8);
	if (!seqs)
		try_base(s, p, behind, behind + align_up(bytes, 8));
}

/* --- the search -------------------------------------------------------------- */

/* Is the number at @off num_syms? Then names and markers must fill what is before the tokens. */
static void try_num_syms(struct search *s, struct vp_kallsyms_parts p, uint64_t off, uint64_t align)
{
	uint32_t zero = 0, count;

	if (!vp_blob_u32(s->b, off, &p.n) || p.n < SYMS_MIN || p.n > VP_KALLSYMS_MAX)
		return;
	if (align == 8 && (!vp_blob_u32(s->b, off + 4, &zero) || zero))
		return;
	p.num_syms = off;
	p.names = align_up(off + 4, align);
	count = (p.n + PER_MARKER - 1) / PER_MARKER;
	for (unsigned int seqs = 0; seqs < (align == 8 ? 2 : 1); seqs++) {
		uint64_t size = align_up(4ull * count, align) + align_up(seqs * 3ull * p.n, align);
		uint64_t markers = p.token_table - size;

		if (size > p.token_table || markers < p.names + NAME_MIN * p.n)
			continue;
		if (markers_rise(s, markers, count, markers - p.names) &&
		    names_fit(s, &p, markers, align))
			try_offsets(s, p, align, seqs);
	}
}

static void try_digits(struct search *s, uint64_t digit0)
{
	for (uint64_t align = 8; align >= 4; align /= 2) {
		struct vp_kallsyms_parts p = { 0 };

		if (!check_tokens(s->b, digit0, align, &p))
			continue;
		for (uint64_t off = 0; off < p.token_table && s->steps < STEPS_MAX; off += align)
			try_num_syms(s, p, off, align);
	}
}

int vp_kallsyms_find(const struct vp_blob *rodata, vp_gva text, uint64_t end,
		     struct vp_kallsyms_parts *out, struct vp_err *err)
{
	static const char digits[20] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
	struct search s = { .b = rodata, .text = text, .end = end };
	unsigned int places = 0;

	for (uint64_t off = 0; off < rodata->len; off++) {
		const uint8_t *hit =
			memmem(rodata->data + off, rodata->len - off, digits, sizeof(digits));

		/* Each costs a pass over all before it; a kernel has this text once. */
		if (!hit || ++places > 8)
			break;
		off = (uint64_t)(hit - rodata->data);
		try_digits(&s, off);
	}
	if (s.steps >= STEPS_MAX)
		return vp_err_set(err, -EBADMSG,
				  "the kernel's symbol table (kallsyms) cannot be told from the "
				  "data around it: too many places look like one");
	if (!s.found)
		return vp_err_set(
			err, -ENOENT,
			"no kernel symbol table (kallsyms) in %zu bytes of read-only data: "
			"no CONFIG_KALLSYMS, or a layout unknown here (5.10 to 7.0 are known)",
			rodata->len);
	if (s.found > 1)
		return vp_err_set(err, -EBADMSG,
				  "%u kernel symbol tables (kallsyms) in the guest: cannot tell "
				  "which is right",
				  s.found);
	*out = s.parts;
	return 0;
}
