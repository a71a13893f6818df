/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/explain.h"

#include "linux/jump_table.h"
#include "linux/owner_call.h"
#include "linux/owner_ftrace.h"
#include "linux/owner_probe.h"
#include "x86/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LONGEST	    6u /* bytes of a place: jcc rel32 */
#define PLACES_MAX  (1u << 21)
#define RECORDS_MAX (1u << 20)
#define LOCKS_MAX   (1u << 20) /* bytes of their table */

/* A place that the guest rewrites. */
struct place {
	uint64_t start;
	uint64_t key;	 /* of a static key or call; of ftrace the record's flags */
	uint64_t target; /* of a static key's jmp */
	enum vp_why why;
	uint8_t len;
	bool branch; /* as struct vp_jump_entry */
	bool glue;   /* of ftrace: its own call, which has no record */
};

struct vp_explain {
	struct vp_linux *l;
	struct place *places; /* by start */
	size_t n, cap;
	struct vp_linux_range *made; /* code of neither the image nor a module */
	size_t nmade;
	struct vp_view view; /* of keys */
};

const char *vp_why_name(enum vp_why why)
{
	static const char *const names[VP_WHY_COUNT] = {
		[VP_WHY_KEY] = "static-keys",	 [VP_WHY_CALL] = "static-calls",
		[VP_WHY_FTRACE] = "ftrace",	 [VP_WHY_PROBE] = "kprobes",
		[VP_WHY_LOCK] = "lock-prefixes",
	};

	return names[why];
}

static int add(struct vp_explain *x, struct place p, struct vp_err *err)
{
	if (!x->places || x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 4096;
		void *more = cap <= PLACES_MAX ? reallocarray(x->places, cap, sizeof(p)) : NULL;

		if (!more)
			return vp_err_set(err, cap > PLACES_MAX ? -EBADMSG : -ENOMEM,
					  "the guest has too many places that it patches");
		x->places = more;
		x->cap = cap;
	}
	x->places[x->n++] = p;
	return 0;
}

/* --- the tables ---------------------------------------------------------------------- */

static int add_jumps(struct vp_explain *x, const struct vp_jump_table *t, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < t->n && !rc; i++) {
		const struct vp_jump_entry *e = &t->entries[i];

		if (!e->init)
			rc = add(x,
				 (struct place){ .start = e->code,
						 .key = e->key,
						 .target = e->target,
						 .why = VP_WHY_KEY,
						 .len = 5,
						 .branch = e->branch },
				 err);
	}
	return rc;
}

static int take_keys(struct vp_explain *x, struct vp_err *err)
{
	const struct vp_jump_table *t;
	int rc = vp_jump_table_get(x->l, &t, err);

	if (rc == -ENOENT)
		return x->l->modules_at.size && !x->l->modules_at.jump_entries ? 0 : -EOPNOTSUPP;
	if (!rc)
		rc = add_jumps(x, t, err);
	if (!rc)
		rc = vp_jump_modules_get(x->l, &t, err);
	return rc ? rc : add_jumps(x, t, err);
}

/* Trampolines are known by name alone; each has the key of its name. */
static int add_trampoline(void *arg, const char *name, vp_gva addr)
{
	static const char prefix[] = "__SCT__";
	struct vp_explain *x = arg;
	char key[512];
	vp_gva at;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	snprintf(key, sizeof(key), "__SCK__%s", name + sizeof(prefix) - 1);
	if (!vp_linux_find(x->l, key, &at))
		return 0;
	return add(x, (struct place){ .start = addr.v, .key = at.v, .why = VP_WHY_CALL, .len = 5 },
		   NULL);
}

static int take_calls(struct vp_explain *x, const struct vp_owners *o, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < o->calls.n && !rc; i++)
		rc = add(x,
			 (struct place){ .start = o->calls.s[i].start,
					 .key = o->calls.s[i].who,
					 .why = VP_WHY_CALL,
					 .len = LONGEST },
			 err);
	if (!rc && vp_symtab_each(vp_linux_symbols(x->l), add_trampoline, x))
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	return rc;
}

static int take_probes(struct vp_explain *x, const struct vp_owners *o, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < o->probes.n && !rc; i++)
		rc = add(x,
			 (struct place){
				 .start = o->probes.s[i].start, .why = VP_WHY_PROBE, .len = 5 },
			 err);
	return rc;
}

static int take_records(struct vp_explain *x, const struct vp_ftrace_page *p, struct vp_err *err)
{
	const struct vp_owner_layout *y = &x->l->owners_at;
	struct vp_blob b = { .len = (size_t)p->n * y->rec_size, .base = p->records };
	uint8_t *bytes = malloc(b.len + 1);
	int rc = bytes ? vp_kernel_mem_read(&x->l->mem, VP_GVA(p->records), bytes, b.len, err)
		       : vp_err_set(err, -ENOMEM, "out of memory");

	b.data = bytes;
	if (rc == -EFAULT)
		rc = -EAGAIN;
	for (uint64_t off = 0; off < b.len && !rc; off += y->rec_size) {
		struct place place = { .why = VP_WHY_FTRACE, .len = 5 };

		if (!vp_blob_u64(&b, off + y->rec_ip, &place.start) ||
		    !vp_blob_u64(&b, off + y->rec_flags, &place.key))
			rc = vp_err_set(err, -EBADMSG, "ftrace's records make no sense");
		else if (place.start)
			rc = add(x, place, err);
	}
	free(bytes);
	return rc;
}

static int take_ftrace(struct vp_explain *x, const struct vp_owners *o, struct vp_err *err)
{
	static const char *const glue[] = { "ftrace_call", "ftrace_regs_call", "ftrace_graph_call",
					    "ftrace_graph_regs_call" };
	uint64_t records = 0;
	int rc = 0;
	vp_gva at;

	for (size_t i = 0; i < sizeof(glue) / sizeof(glue[0]) && !rc; i++)
		if (vp_linux_find(x->l, glue[i], &at))
			rc = add(x,
				 (struct place){ .start = at.v,
						 .why = VP_WHY_FTRACE,
						 .len = 5,
						 .glue = true },
				 err);
	for (size_t i = 0; i < o->npages && !rc; i++) {
		records += o->pages[i].n;
		if (records > RECORDS_MAX)
			return vp_err_set(err, -EBADMSG, "ftrace has more than %u records",
					  RECORDS_MAX);
		rc = take_records(x, &o->pages[i], err);
	}
	return rc;
}

/* Prefixes that are no locks on one CPU. Where the table was freed nobody writes them any more. */
static int take_locks(struct vp_explain *x, struct vp_err *err)
{
	struct vp_blob b = { 0 };
	vp_gva start, end;
	uint8_t *bytes;
	int rc;

	if (!vp_linux_find(x->l, "__smp_locks", &start) ||
	    !vp_linux_find(x->l, "__smp_locks_end", &end) || end.v - start.v > LOCKS_MAX)
		return 0;
	b.base = start.v;
	b.len = (size_t)(end.v - start.v);
	b.data = bytes = malloc(b.len + 1);
	if (!bytes)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_kernel_mem_read(&x->l->mem, start, bytes, b.len, err);
	for (uint64_t off = 0; off + 4 <= b.len && !rc; off += 4) {
		uint32_t rel = 0;

		vp_blob_u32(&b, off, &rel);
		rc = add(x,
			 (struct place){ .start = b.base + off + (uint64_t)(int64_t)(int32_t)rel,
					 .why = VP_WHY_LOCK,
					 .len = 1 },
			 err);
	}
	free(bytes);
	return rc == -EFAULT ? 0 : rc;
}

static int by_start(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int take_all(struct vp_explain *x, struct vp_err *err)
{
	struct vp_owners o = { .l = x->l };
	int rc = take_keys(x, err);

	if (!rc)
		rc = vp_calls_read(&o, err);
	if (!rc)
		rc = take_calls(x, &o, err);
	if (!rc)
		rc = vp_probes_read(&o, err);
	if (!rc)
		rc = take_probes(x, &o, err);
	if (!rc)
		rc = vp_ftrace_read(&o, err);
	if (!rc)
		rc = take_ftrace(x, &o, err);
	if (!rc)
		rc = take_locks(x, err);
	free(o.calls.s);
	free(o.probes.s);
	free(o.pages);
	return rc;
}

int vp_explain_new(struct vp_linux *l, struct vp_explain **out, struct vp_err *err)
{
	struct vp_explain *x = calloc(1, sizeof(*x));
	struct vp_err why = { "" };
	int rc;

	if (!x)
		return vp_err_set(err, -ENOMEM, "out of memory");
	x->l = l;
	x->view.ahead = 0x4000;
	if (!l->owners_at.known || !vp_modules_are_known(l) || !l->modules.whole)
		rc = vp_err_set(
			&why, -EOPNOTSUPP,
			"what the guest's kernel itself changes of its text cannot be told: "
			"it has no type information (BTF), or none that makes sense");
	else
		rc = take_all(x, &why);
	if (!rc)
		rc = vp_linux_code_outside(l, &x->made, &x->nmade, &why);
	if (rc) {
		vp_explain_free(x);
		return vp_err_set(err, rc, "%s",
				  *why.text ? why.text : "the guest's tables cannot be read");
	}
	if (x->n)
		qsort(x->places, x->n, sizeof(*x->places), by_start);
	*out = x;
	return 0;
}

void vp_explain_free(struct vp_explain *x)
{
	if (!x)
		return;
	vp_view_free(&x->view);
	free(x->places);
	free(x->made);
	free(x);
}

/* --- the rules ------------------------------------------------------------------------ */

static bool is_made(const struct vp_explain *x, uint64_t addr)
{
	size_t lo = 0, hi = x->nmade;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (addr < x->made[mid].start.v)
			hi = mid;
		else if (addr - x->made[mid].start.v < x->made[mid].len)
			return true;
		else
			lo = mid + 1;
	}
	return false;
}

/* In the image's text or a module's: a symbol is there. */
static bool is_function(const struct vp_explain *x, uint64_t addr)
{
	uint64_t offset;

	return vp_linux_nearest(x->l, VP_GVA(addr), &offset) && !offset;
}

static bool is_named(const struct vp_explain *x, uint64_t addr, const char *part)
{
	uint64_t offset;
	const char *name = vp_linux_nearest(x->l, VP_GVA(addr), &offset);

	return name && !offset && strstr(name, part);
}

/* Each: 1 right, 0 not, -errno. @i: what stands there, decoded; its kind OTHER if it is nothing. */

static int judge_key(struct vp_explain *x, const struct place *p, const struct vp_insn *i,
		     struct vp_err *err)
{
	struct vp_key_struct key;
	int rc = vp_jump_key(x->l, &x->view, p->key, &key, err);
	bool jmp = i->kind == VP_INSN_JMP_REL && i->target.v == p->target;

	if (rc)
		return rc == -EFAULT ? 0 : rc;
	if ((i->len != 2 && i->len != 5) || (!jmp && i->kind != VP_INSN_NOP))
		return 0;
	return jmp == ((key.enabled > 0) != p->branch);
}

/* What stands for a function that does nothing, or returns 0 (arch/x86/kernel/static_call.c). */
static bool is_nothing(const struct vp_explain *x, const struct vp_insn *i, const uint8_t *bytes)
{
	static const uint8_t zero[][5] = { { 0x66, 0x66, 0x48, 0x31, 0xc0 },
					   { 0x2e, 0x2e, 0x2e, 0x31, 0xc0 } };

	if (i->kind == VP_INSN_JMP_REL)
		return is_named(x, i->target.v, "return_thunk");
	return (i->kind == VP_INSN_NOP && i->len == 5) || i->kind == VP_INSN_RET ||
	       !memcmp(bytes, zero[0], 5) || !memcmp(bytes, zero[1], 5);
}

static int judge_call(struct vp_explain *x, const struct place *p, const struct vp_insn *i,
		      const uint8_t *bytes, struct vp_err *err)
{
	uint8_t raw[8];
	const struct vp_blob b = { raw, sizeof(raw), 0 };
	uint64_t func = 0;
	int rc = vp_view_read(x->l, &x->view, p->key, raw, sizeof(raw), err);

	if (rc)
		return rc == -EFAULT ? 0 : rc;
	vp_blob_u64(&b, 0, &func);
	if (vp_insn_leads(i) && i->target.v == func)
		return 1;
	return (!func || is_named(x, func, "__static_call_return0")) && is_nothing(x, i, bytes);
}

static int judge_ftrace(const struct vp_explain *x, const struct place *p, const struct vp_insn *i)
{
	const struct vp_owner_layout *y = &x->l->owners_at;
	bool code = i->kind == VP_INSN_CALL_REL || (p->glue && i->kind == VP_INSN_JMP_REL);

	if (i->len != 5)
		return 0;
	if (p->glue)
		return code && (is_function(x, i->target.v) || is_made(x, i->target.v));
	if (i->kind == VP_INSN_NOP)
		return 1;
	if (!code || !(p->key & ~(uint64_t)(y->fl_disabled | y->fl_touched | y->fl_modified)))
		return 0;
	return is_made(x, i->target.v) || is_named(x, i->target.v, "ftrace_caller") ||
	       is_named(x, i->target.v, "ftrace_regs_caller") ||
	       (p->key & y->fl_direct && is_function(x, i->target.v));
}

static int judge(struct vp_explain *x, const struct place *p, const uint8_t *bytes, size_t n,
		 struct vp_err *err)
{
	struct vp_insn i = { .kind = VP_INSN_OTHER };

	if (vp_insn_decode(bytes, n, VP_GVA(p->start), &i, NULL))
		i = (struct vp_insn){ .kind = VP_INSN_OTHER };
	switch (p->why) {
	case VP_WHY_KEY:
		return judge_key(x, p, &i, err);
	case VP_WHY_CALL:
		return n >= 5 ? judge_call(x, p, &i, bytes, err) : 0;
	case VP_WHY_FTRACE:
		return judge_ftrace(x, p, &i);
	case VP_WHY_PROBE:
		return bytes[0] == VP_INT3 ||
		       (i.kind == VP_INSN_JMP_REL && i.len == 5 && is_made(x, i.target.v));
	case VP_WHY_LOCK:
		return bytes[0] == 0xf0 || bytes[0] == 0x3e;
	case VP_WHY_COUNT:
		break;
	}
	return 0;
}

/* How much of a place counts is told by what stands there: of a key or a call it may be less. */
static size_t length_of(const struct place *p, const uint8_t *bytes, size_t n)
{
	struct vp_insn i;

	if (p->why == VP_WHY_PROBE)
		return bytes[0] == VP_INT3 ? 1 : p->len;
	if (p->why != VP_WHY_KEY && p->why != VP_WHY_CALL)
		return p->len;
	if (vp_insn_decode(bytes, n, VP_GVA(p->start), &i, NULL) || i.len > p->len)
		return p->len;
	/* `ret` of a static call has four int3 behind it. */
	return p->why == VP_WHY_CALL && i.len < 5 ? 5 : i.len;
}

static const char *what_is(enum vp_why why)
{
	switch (why) {
	case VP_WHY_KEY:
		return "static key ";
	case VP_WHY_CALL:
		return "static call ";
	case VP_WHY_FTRACE:
		return "ftrace";
	case VP_WHY_PROBE:
		return "a kprobe";
	case VP_WHY_LOCK:
		return "a lock prefix";
	case VP_WHY_COUNT:
		break;
	}
	return "";
}

static const char *name_of(const struct vp_explain *x, const struct place *p, char *text)
{
	char key[128] = "";

	if (p->why == VP_WHY_KEY || p->why == VP_WHY_CALL)
		vp_owner_name(x->l, p->key, key, sizeof(key));
	snprintf(text, VP_EXPLAIN_MAX, "%s%s", what_is(p->why), key);
	return text;
}

/* The first place that starts at @addr or behind it. */
static size_t first_from(const struct vp_explain *x, uint64_t addr)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->places[mid].start < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int vp_explain_at(struct vp_explain *x, uint64_t addr, const struct vp_blob *now, enum vp_why *why,
		  uint64_t *start, uint64_t *end, char *what, struct vp_err *err)
{
	uint64_t from = addr >= LONGEST ? addr - LONGEST + 1 : 0;

	*what = '\0';
	for (size_t k = first_from(x, from); k < x->n && x->places[k].start <= addr; k++) {
		const struct place *p = &x->places[k];
		struct vp_blob b = vp_blob_from(now, p->start - now->base);
		size_t len;
		int rc;

		if (p->start < now->base || !b.len)
			continue;
		if (b.len > VP_INSN_MAX)
			b.len = VP_INSN_MAX;
		len = length_of(p, b.data, b.len);
		if (addr - p->start >= len)
			continue;
		rc = judge(x, p, b.data, b.len, err);
		if (rc < 0)
			return rc;
		if (!rc) {
			name_of(x, p, what);
			continue;
		}
		*why = p->why;
		*start = p->start;
		*end = p->start + len;
		return 1;
	}
	return 0;
}

void vp_explain_probes(const struct vp_explain *x,
		       void (*fn)(void *arg, uint64_t addr, uint32_t len), void *arg)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->places[i].why == VP_WHY_PROBE)
			fn(arg, x->places[i].start, x->places[i].len);
}

uint64_t vp_explain_made(const struct vp_explain *x)
{
	uint64_t size = 0;

	for (size_t i = 0; i < x->nmade; i++)
		size += x->made[i].len;
	return size;
}
