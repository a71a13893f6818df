/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/as_built.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "x86/decode.h"

#define TABLE_MAX 0x1000000u /* bytes; 6.12 has 400 KB of entries */

/* struct paravirt_patch_site (to 6.7): instr u64, type u8, len u8, aligned. */
#define PV_SIZE 16u

/* Read the table between two symbols; b->data is for free(). */
static int read_table(struct vp_linux *l, const char *start, const char *stop, struct vp_blob *b,
		      struct vp_err *err)
{
	uint8_t *bytes;
	vp_gva from, to;
	int rc;

	*b = (struct vp_blob){ 0 };
	if (!vp_linux_find(l, start, &from) || !vp_linux_find(l, stop, &to))
		return vp_err_set(err, -EOPNOTSUPP, "the kernel's symbols do not tell where %s is",
				  start);
	if (to.v < from.v || to.v - from.v > TABLE_MAX)
		return vp_err_set(err, -EBADMSG, "the table at %s makes no sense", start);
	bytes = malloc(to.v - from.v + 1);
	if (!bytes)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_linux_read(l, from, bytes, to.v - from.v, err);
	if (rc) {
		free(bytes);
		return rc;
	}
	*b = (struct vp_blob){ bytes, to.v - from.v, from.v };
	return 0;
}

static void free_table(struct vp_blob *b)
{
	free((void *)(uintptr_t)b->data);
}

/* --- entries of functions ------------------------------------------------------------ */

static bool is_tracer_call(const struct vp_linux *l, vp_gva site, const uint8_t bytes[5])
{
	struct vp_insn insn;
	vp_gva fentry;

	if (vp_insn_decode(bytes, 5, site, &insn, NULL) || insn.len != 5)
		return false;
	if (insn.kind == VP_INSN_NOP)
		return true;
	return insn.kind == VP_INSN_CALL_REL && vp_linux_find(l, "__fentry__", &fentry) &&
	       insn.target.v == fentry.v;
}

int vp_as_built_entry(struct vp_linux *l, vp_gva site, const uint8_t bytes[5], bool *yes,
		      struct vp_err *err)
{
	struct vp_blob b;
	uint64_t at;
	int rc;

	*yes = false;
	if (!is_tracer_call(l, site, bytes))
		return 0;
	rc = read_table(l, "__start_mcount_loc", "__stop_mcount_loc", &b, err);
	for (uint64_t off = 0; !rc && !*yes && vp_blob_u64(&b, off, &at); off += sizeof(at))
		*yes = at == site.v;
	free_table(&b);
	return rc;
}

/* --- alternatives --------------------------------------------------------------------- */

/*
 * Both forms of struct alt_instr (see hotfix/alternatives.c) begin with the place and the
 * replacement, relative to where they stand, and end with the two lengths. Read the one at @off.
 */
static bool read_entry(const struct vp_linux *l, const struct vp_blob *b, uint64_t off,
		       uint32_t size, uint64_t *place, uint8_t *len)
{
	uint64_t image = l->mem.end - l->mem.text.v, from;
	uint32_t rel, from_rel;
	uint8_t from_len;

	if (!vp_blob_u32(b, off, &rel) || !vp_blob_u32(b, off + 4, &from_rel) ||
	    !vp_blob_u8(b, off + size - 2, len) || !vp_blob_u8(b, off + size - 1, &from_len))
		return false;
	*place = b->base + off + (uint64_t)(int64_t)(int32_t)rel;
	from = b->base + off + 4 + (uint64_t)(int64_t)(int32_t)from_rel;
	return *place - l->mem.text.v < image && from - l->mem.text.v < image && *len &&
	       from_len <= *len;
}

static bool overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

/* Entries of @size bytes: are all of them sensible, and how many lie in the text? */
static bool count_entries(const struct vp_linux *l, const struct vp_blob *b, uint32_t size,
			  vp_gva start, uint64_t len, size_t *n)
{
	uint64_t place;
	uint8_t bytes;

	*n = 0;
	if (b->len % size)
		return false;
	for (uint64_t off = 0; off < b->len; off += size) {
		if (!read_entry(l, b, off, size, &place, &bytes))
			return false;
		*n += overlap(start.v, len, place, bytes);
	}
	return true;
}

static int count_alternatives(struct vp_linux *l, vp_gva start, uint64_t len, size_t *n,
			      struct vp_err *err)
{
	static const uint32_t sizes[] = { 12, 14 };
	unsigned int fitting = 0;
	struct vp_blob b;
	int rc = read_table(l, "__alt_instructions", "__alt_instructions_end", &b, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t found;

		if (!count_entries(l, &b, sizes[i], start, len, &found))
			continue;
		fitting++;
		*n += found;
	}
	free_table(&b);
	return fitting == 1 || (fitting && !b.len)
		       ? 0
		       : vp_err_set(err, -EBADMSG,
				    "the kernel's alternatives have an unknown form");
}

static int count_pv_calls(struct vp_linux *l, vp_gva start, uint64_t len, size_t *n,
			  struct vp_err *err)
{
	struct vp_blob b;
	vp_gva unused;
	uint64_t at;
	uint8_t bytes;
	int rc;

	if (!vp_linux_find(l, "__parainstructions", &unused)) /* 6.8 on: alternatives */
		return 0;
	rc = read_table(l, "__parainstructions", "__parainstructions_end", &b, err);
	for (uint64_t off = 0; !rc && vp_blob_u64(&b, off, &at) && vp_blob_u8(&b, off + 9, &bytes);
	     off += PV_SIZE)
		*n += overlap(start.v, len, at, bytes);
	free_table(&b);
	return rc;
}

/* --- constants of the time of boot (6.11 on) ----------------------------------------------- */

#define CONSTANTS_START "__start_runtime_"
#define CONSTANTS_STOP	"__stop_runtime_"

/* Each has a list of the places where it stands in code, relative to where they are listed. */
struct constants {
	struct vp_linux *l;
	vp_gva start;
	uint64_t len;
	size_t *n;
	struct vp_err *err;
};

static int count_constant(void *arg, const char *name, vp_gva addr)
{
	const struct constants *c = arg;
	char stop[128];
	struct vp_blob b;
	uint32_t rel;
	int rc;

	(void)addr;
	if (strncmp(name, CONSTANTS_START, strlen(CONSTANTS_START)))
		return 0;
	snprintf(stop, sizeof(stop), CONSTANTS_STOP "%s", name + strlen(CONSTANTS_START));
	rc = read_table(c->l, name, stop, &b, c->err);
	for (uint64_t off = 0; !rc && vp_blob_u32(&b, off, &rel); off += sizeof(rel))
		*c->n += b.base + off + (uint64_t)(int64_t)(int32_t)rel - c->start.v < c->len;
	free_table(&b);
	return rc;
}

/* ------------------------------------------------------------------------------------------ */

int vp_as_built_rewritten(struct vp_linux *l, vp_gva start, uint64_t len, size_t *n,
			  struct vp_err *err)
{
	struct constants c = { l, start, len, n, err };
	int rc;

	*n = 0;
	rc = count_alternatives(l, start, len, n, err);
	if (!rc)
		rc = count_pv_calls(l, start, len, n, err);
	return rc ? rc : vp_symtab_each(l->symbols, count_constant, &c);
}
