/* SPDX-License-Identifier: Apache-2.0 */
/* A function by its name: where it is, and whether its entry can be redirected. */
#include "linux/as_built.h"
#include "linux/livepatch.h"
#include "linux/modules.h"
#include "linux/owner_probe.h"

#include "x86/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LEN_MAX	  0x100000u
#define ENDBR_LEN 4u
#define NOP_LEN	  5u

/* What is looked for in all symbols. */
struct finding {
	const char *name;
	char cold[600];
	unsigned int which;
	bool colder; /* there are more cold parts than there is room for */
	struct vp_linux_function *out;
	uint64_t last; /* the address of the one before: of aliases one counts */
	uint64_t ends[1 + VP_LINUX_COLD_MAX]; /* of the function, and of its cold parts */
};

static int take_start(void *arg, const char *name, vp_gva addr)
{
	struct finding *f = arg;
	struct vp_linux_function *out = f->out;

	if (!strcmp(name, f->name) && !(out->count && addr.v == f->last)) {
		f->last = addr.v;
		if (++out->count == (f->which ? f->which : 1))
			out->start = addr;
	}
	if (strcmp(name, f->cold))
		return 0;
	if (out->ncold == VP_LINUX_COLD_MAX)
		f->colder = true;
	else
		out->cold[out->ncold++].start = addr;
	return 0;
}

/* By address: the first one above is the end. */
static int take_end(void *arg, const char *name, vp_gva addr)
{
	struct finding *f = arg;
	const struct vp_linux_function *out = f->out;

	(void)name;
	if (addr.v > out->start.v && !f->ends[0])
		f->ends[0] = addr.v;
	for (size_t i = 0; i < out->ncold; i++)
		if (addr.v > out->cold[i].start.v && !f->ends[1 + i])
			f->ends[1 + i] = addr.v;
	return 0;
}

static int find_start(struct vp_linux *l, struct finding *f, struct vp_err *err)
{
	struct vp_linux_function *out = f->out;

	snprintf(f->cold, sizeof(f->cold), "%.512s.cold", f->name);
	vp_symtab_each(vp_linux_symbols(l), take_start, f);
	if (!out->count && strchr(f->name, ':')) { /* a module's, which is not listed so */
		out->count = 1;
		return vp_symtab_find(vp_linux_symbols(l), f->name, &out->start, err);
	}
	if (!out->count)
		return vp_err_set(err, -ENOENT, "the kernel has no symbol %.120s", f->name);
	if (!f->which && out->count > 1)
		return vp_err_set(err, -EEXIST,
				  "%zu symbols are named %.120s: say which, counted from 1 in the "
				  "order of /proc/kallsyms",
				  out->count, f->name);
	if (f->which > out->count)
		return vp_err_set(err, -ENOENT, "only %zu symbols are named %.120s, not %u",
				  out->count, f->name, f->which);
	return 0;
}

/* Where the piece of memory ends that @addr is in: the image, or a module's text. 0: in neither. */
static uint64_t piece_end(const struct vp_linux *l, uint64_t addr)
{
	if (addr - l->mem.text.v < l->mem.end - l->mem.text.v)
		return l->mem.end;
	for (size_t i = 0; i < l->modules.n; i++) {
		const struct vp_module *m = &l->modules.m[i];
		int k = vp_module_piece(m, addr);

		if (k >= 0)
			return m->pieces[k].base + m->pieces[k].len;
	}
	return 0;
}

/* @next: the address of the next symbol, or 0. False: it cannot be told, or makes no sense. */
static bool find_len(const struct vp_linux *l, vp_gva start, uint64_t next, uint64_t *len)
{
	uint64_t end = piece_end(l, start.v);

	if (next && next < end)
		end = next;
	*len = end - start.v;
	return end > start.v && *len <= LEN_MAX;
}

static int find_ends(struct vp_linux *l, struct finding *f, struct vp_err *err)
{
	struct vp_linux_function *out = f->out;
	bool code = false;
	int rc;

	vp_symtab_each(vp_linux_symbols(l), take_end, f);
	if (f->colder)
		return vp_err_set(err, -EOPNOTSUPP, "more than %d symbols are named %.120s",
				  VP_LINUX_COLD_MAX, f->cold);
	if (!find_len(l, out->start, f->ends[0], &out->len))
		return vp_err_set(err, -EOPNOTSUPP, "where %.120s ends cannot be told", f->name);
	for (size_t i = 0; i < out->ncold; i++)
		if (!find_len(l, out->cold[i].start, f->ends[1 + i], &out->cold[i].len))
			return vp_err_set(err, -EOPNOTSUPP, "where %.120s ends cannot be told",
					  f->cold);
	rc = vp_kernel_mem_is_code(&l->mem, out->start, &code, err);
	return rc || code ? rc : vp_err_set(err, -ENOENT, "%.120s is no function", f->name);
}

static bool is_endbr(const uint8_t *p)
{
	return !memcmp(p, "\xf3\x0f\x1e\xfa", ENDBR_LEN) ||
	       !memcmp(p, "\x66\x0f\x1f\x00", ENDBR_LEN) ||
	       !memcmp(p, "\x0f\x1f\x40\xd6", ENDBR_LEN);
}

static bool is_nop5(const uint8_t *bytes, vp_gva at)
{
	struct vp_insn insn;

	return !vp_insn_decode(bytes, NOP_LEN, at, &insn, NULL) && insn.len == NOP_LEN &&
	       insn.kind == VP_INSN_NOP;
}

/* Does the jmp there lead to where we know what it leads to? */
static bool is_known(const struct vp_linux_ranges *known, const uint8_t *jmp, vp_gva at)
{
	uint64_t to;
	int32_t rel;

	memcpy(&rel, jmp + 1, sizeof(rel));
	to = at.v + NOP_LEN + (uint64_t)(int64_t)rel;
	for (size_t i = 0; known && i < known->n; i++)
		if (to - known->list[i].start.v < known->list[i].len)
			return true;
	return false;
}

/* What stands at the entry of a function that cannot be redirected? */
static int refuse_entry(struct vp_linux *l, vp_gva start, const char *name, const uint8_t *p,
			struct vp_err *err)
{
	struct vp_klp_function klp;
	bool of_file = l->file;

	if (*p == VP_INT3)
		return vp_err_set(err, -EBUSY, "%.120s: an int3 stands at its entry (a kprobe?)",
				  name);
	if (*p == 0xe9)
		return vp_err_set(err, -EBUSY, "%.120s: a jmp stands at its entry%s", name,
				  of_file ? "" : ": it is redirected already");
	if (*p == 0xe8 && !of_file && vp_linux_livepatch_of(l, start, &klp))
		return vp_err_set(err, -EBUSY,
				  "%.120s: the guest's own livepatch %.63s has it; disable that "
				  "first",
				  name, klp.module);
	if (*p == 0xe8 && !of_file)
		return vp_err_set(err, -EBUSY,
				  "%.120s: its entry is a call: it is traced or probed now, or no "
				  "entry that ftrace knows",
				  name);
	if (of_file)
		return vp_err_set(err, -EBUSY,
				  "%.120s: its entry is none of ftrace's: %02x %02x %02x %02x %02x",
				  name, p[0], p[1], p[2], p[3], p[4]);
	return vp_err_set(err, -EBUSY,
			  "%.120s: its entry has no nop of ftrace's: %02x %02x %02x %02x %02x",
			  name, p[0], p[1], p[2], p[3], p[4]);
}

/* Find the nop that it begins with, or what stands in its place. */
static int find_site(struct vp_linux *l, const char *name, const struct vp_linux_ranges *known,
		     struct vp_linux_function *out, struct vp_err *err)
{
	uint8_t b[ENDBR_LEN + NOP_LEN];
	const uint8_t *p = b;
	bool good = false;
	int rc;

	if (out->len < sizeof(b))
		return vp_err_set(err, -EBUSY, "%.120s is too short to be redirected", name);
	rc = vp_kernel_mem_read(&l->mem, out->start, b, sizeof(b), err);
	if (rc)
		return rc;
	if (is_endbr(b))
		p += ENDBR_LEN;
	out->site = VP_GVA(out->start.v + (uint64_t)(p - b));
	memcpy(out->old_bytes, p, NOP_LEN);
	if (l->file) {
		rc = vp_as_built_entry(l, out->site, p, &good, err);
		if (rc)
			return rc;
	} else {
		good = is_nop5(p, out->site) || (*p == 0xe9 && is_known(known, p, out->site));
	}
	return good ? 0 : refuse_entry(l, out->start, name, p, err);
}

static int refuse_probes(struct vp_linux *l, const char *name, const struct vp_linux_function *f,
			 struct vp_err *err)
{
	struct vp_owners o = { .l = l };
	int rc = l->owners_at.known
			 ? vp_probes_read(&o, err)
			 : vp_err_set(err, -EOPNOTSUPP,
				      "the kernel's type information does not tell who else "
				      "writes into its text");

	for (size_t i = 0; i < o.probes.n && !rc; i++)
		if (o.probes.s[i].start - f->start.v < f->len)
			rc = vp_err_set(err, -EBUSY,
					"the guest has a kprobe at %.120s+0x%llx; have it removed "
					"first",
					name,
					(unsigned long long)(o.probes.s[i].start - f->start.v));
	free(o.probes.s);
	return rc;
}

/* Who owns the site says the same as for any poke. */
static int ask_owners(struct vp_linux *l, const char *name, const struct vp_linux_function *f,
		      struct vp_err *err)
{
	struct vp_site s = { .addr = f->site, .len = NOP_LEN };
	struct vp_linux_care care;
	struct vp_err why = { "" };
	int rc;

	memcpy(s.old_bytes, f->old_bytes, NOP_LEN);
	rc = vp_linux_poke_plan(l, &s, 1, false, &care, &why);
	if (rc)
		return vp_err_set(err, rc, "%.80s: %.170s", name, why.text);
	vp_linux_care_free(&care);
	return 0;
}

int vp_linux_function_find(struct vp_linux *l, const char *name, unsigned int which,
			   const struct vp_linux_ranges *known, struct vp_linux_function *out,
			   struct vp_err *err)
{
	struct finding f = { .name = name, .which = which, .out = out };
	int rc;

	memset(out, 0, sizeof(*out));
	rc = find_start(l, &f, err);
	if (!rc)
		rc = find_ends(l, &f, err);
	if (!rc)
		rc = find_site(l, name, known, out, err);
	if (rc || l->file)
		return rc;
	rc = refuse_probes(l, name, out, err);
	return rc ? rc : ask_owners(l, name, out, err);
}
