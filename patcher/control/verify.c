/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: is the kernel's text and read-only data what it was when it was first seen, but for what
 * the guest changes itself by its own tables, and for what was done by us? docs/verify.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "control/internal.h"
#include "control/readonly.h"
#include "hotfix/found.h"
#include "linux/explain.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

#define LOOKS	   4u /* what changes while it is looked at is looked at again */
#define NAP_MS	   300
#define LISTED_MAX 64u /* differences; the others are counted */
#define SHOWN_MAX  32u /* bytes of one */
#define APART	   8u  /* bytes that are the same between two that differ, in one difference */

/* Bytes that we have written, and whose they are. */
struct own {
	uint64_t addr;
	uint8_t len;
	uint8_t before[VP_INSN_MAX], after[VP_INSN_MAX];
	bool hotfix;
};

struct verify {
	struct vp_control *c;
	struct vp_linux *l;
	struct vp_baseline was, now;
	bool first;	    /* nothing was kept of this boot */
	size_t added, gone; /* regions that were not known; that are not there any more */
	struct vp_explain *x;
	struct vp_hotfix_found *found;
	size_t nfound;
	struct own *own; /* newest first */
	size_t nown;
	/* The result. */
	size_t why[VP_WHY_COUNT], hotfixes, pokes, unknown;
	json_t *unseen, *differences;
	size_t ndifferences;
	struct vp_err *err;
};

static int no_memory(struct verify *v)
{
	return vp_err_set(v->err, -ENOMEM, "out of memory");
}

/* --- what we wrote ------------------------------------------------------------------------ */

static int add_own(struct verify *v, uint64_t addr, const uint8_t *before, const uint8_t *after,
		   size_t len, bool hotfix)
{
	void *more = reallocarray(v->own, v->nown + 1, sizeof(*v->own));
	struct own *o;

	if (!more)
		return no_memory(v);
	v->own = more;
	o = &v->own[v->nown++];
	*o = (struct own){ .addr = addr, .len = (uint8_t)len, .hotfix = hotfix };
	memcpy(o->before, before, len);
	memcpy(o->after, after, len);
	return 0;
}

static int own_hotfixes(struct verify *v)
{
	int rc = 0;

	for (size_t i = v->nfound; i-- && !rc;) {
		const struct vp_hotfix_label *label = v->found[i].label;

		for (size_t k = 0; k < label->nfunctions && !rc; k++) {
			const struct vp_hotfix_label_function *f = &label->functions[k];
			int64_t rel = (int64_t)(f->replacement.v - (f->site.v + 5));
			uint8_t jmp[5] = { 0xe9 };

			for (unsigned int b = 0; b < 4; b++)
				jmp[1 + b] = (uint8_t)(rel >> 8 * b);
			rc = add_own(v, f->site.v, f->before, jmp, sizeof(jmp), true);
		}
	}
	return rc;
}

static int own_pokes(struct verify *v)
{
	struct vp_applied *list = NULL;
	size_t n = 0;
	int rc = vp_control_applied(v->c, true, &list, &n, v->err);

	for (size_t i = n; i-- && !rc;)
		for (size_t k = 0; k < list[i].nsites && !rc; k++) {
			const struct vp_site *s = &list[i].sites[k];

			rc = add_own(v, s->addr.v, s->old_bytes, s->new_bytes, s->len, false);
		}
	vp_control_applied_free(list, n);
	return rc;
}

static uint8_t *bytes_at(const struct vp_baseline *b, uint64_t addr, uint64_t len)
{
	for (size_t i = 0; i < b->nregions; i++) {
		const struct vp_baseline_region *r = &b->regions[i];

		if (addr - r->addr < r->len && len <= r->len - (addr - r->addr))
			return r->bytes + (addr - r->addr);
	}
	return NULL;
}

/* What was first seen has to be without us. @from: the first region that is new. */
static void take_us_out(const struct verify *v, struct vp_baseline *b, size_t from)
{
	struct vp_baseline added = { .regions = b->regions + from, .nregions = b->nregions - from };

	for (size_t i = 0; i < v->nown; i++) {
		const struct own *o = &v->own[i];
		uint8_t *at = bytes_at(&added, o->addr, o->len);

		if (at && !memcmp(at, o->after, o->len))
			memcpy(at, o->before, o->len);
	}
}

/* Our bytes that stand there, over the one at @addr. */
static const struct own *ours(const struct verify *v, uint64_t addr)
{
	for (size_t i = 0; i < v->nown; i++) {
		const struct own *o = &v->own[i];
		const uint8_t *at;

		if (addr - o->addr >= o->len)
			continue;
		at = bytes_at(&v->now, o->addr, o->len);
		if (at && !memcmp(at, o->after, o->len))
			return o;
	}
	return NULL;
}

/* --- comparing ---------------------------------------------------------------------------- */

static void add_difference(struct verify *v, const struct vp_baseline_region *now,
			   const uint8_t *was, uint64_t at, uint64_t end, const char *what)
{
	uint64_t n = end - at < SHOWN_MAX ? end - at : SHOWN_MAX;
	char hex[2 * SHOWN_MAX + 1];
	json_t *json;

	if (v->ndifferences++ >= LISTED_MAX)
		return;
	json = json_pack("{s:o, s:I}", "in", vp_qmp_text(now->name), "bytes",
			 (json_int_t)(end - at));
	vp_json_set_where(v->c, json, VP_GVA(now->addr + at));
	vp_hex_format(was + at, n, hex);
	json_object_set_new(json, "was", json_string(hex));
	vp_hex_format(now->bytes + at, n, hex);
	json_object_set_new(json, "now", json_string(hex));
	if (*what)
		json_object_set_new(json, "place-of", vp_qmp_text(what));
	json_array_append_new(v->differences, json);
}

/* Is there a reason for what stands at @at? *@end: how far it goes. 1, 0, -errno. */
static int explained(struct verify *v, const struct vp_baseline_region *now, uint64_t at,
		     uint64_t *end, char *what)
{
	const struct vp_blob blob = { now->bytes, now->len, now->addr };
	const struct own *o = ours(v, now->addr + at);
	uint64_t start;
	enum vp_why why;
	int rc;

	*end = at + 1;
	*what = '\0';
	if (o) {
		*end = o->addr + o->len - now->addr;
		*(o->hotfix ? &v->hotfixes : &v->pokes) += 1;
		return 1;
	}
	if (vp_baseline_in_hole(&v->was, now->addr + at)) {
		v->unknown++;
		return 1;
	}
	rc = vp_explain_at(v->x, now->addr + at, &blob, &why, &start, end, what, v->err);
	if (rc > 0) {
		v->why[why]++;
		*end -= now->addr;
	}
	return rc;
}

static int compare(struct verify *v, const struct vp_baseline_region *now, const uint8_t *was)
{
	char what[VP_EXPLAIN_MAX], first[VP_EXPLAIN_MAX] = "";
	uint64_t at = 0, begun = 0, last = 0; /* of a difference in hand: [begun, last) */
	int rc = 0;

	while (at < now->len && rc >= 0) {
		uint64_t end;

		if (now->bytes[at] == was[at]) {
			at++;
			continue;
		}
		rc = explained(v, now, at, &end, what);
		if (!rc) {
			if (last && at - last >= APART) {
				add_difference(v, now, was, begun, last, first);
				last = 0;
			}
			if (!last) {
				begun = at;
				memcpy(first, what, sizeof(first));
			}
			last = end;
		}
		at = end;
	}
	if (last)
		add_difference(v, now, was, begun, last, first);
	return rc < 0 ? rc : 0;
}

static int compare_all(struct verify *v)
{
	int rc = 0;

	memset(v->why, 0, sizeof(v->why));
	v->hotfixes = v->pokes = v->unknown = v->ndifferences = 0;
	json_array_clear(v->differences);
	for (size_t i = 0; i < v->now.nregions && !rc; i++) {
		const struct vp_baseline_region *was =
			vp_baseline_find(&v->was, &v->now.regions[i]);

		if (was)
			rc = compare(v, &v->now.regions[i], was->bytes);
	}
	return rc;
}

/* --- one look ------------------------------------------------------------------------------ */

static void forget(struct verify *v)
{
	vp_baseline_clear(&v->now);
	vp_explain_free(v->x);
	vp_hotfix_found_free(v->found, v->nfound);
	free(v->own);
	v->x = NULL;
	v->found = NULL;
	v->own = NULL;
	v->nfound = v->nown = 0;
}

static int look(struct verify *v)
{
	int rc;

	forget(v);
	json_array_clear(v->unseen);
	rc = vp_linux_refresh(v->l, v->err);
	if (!rc)
		rc = vp_hotfix_find(v->l, &v->found, &v->nfound, v->err);
	if (!rc)
		rc = own_hotfixes(v);
	if (!rc)
		rc = own_pokes(v);
	if (!rc)
		rc = vp_control_readonly(v->l, &v->now, v->unseen, v->err);
	if (!rc)
		rc = vp_explain_new(v->l, &v->x,
				    v->err); /* after it: what has changed has a reason */
	return rc ? rc : compare_all(v);
}

static int look_until_quiet(struct verify *v)
{
	const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
	int rc = 0;

	for (unsigned int i = 0; i < LOOKS; i++) {
		if (i)
			nanosleep(&nap, NULL);
		rc = look(v);
		if (rc ? rc != -EAGAIN : !v->ndifferences)
			break;
	}
	return rc;
}

/* --- what was first seen ------------------------------------------------------------------- */

static void hole(void *arg, uint64_t addr, uint32_t len)
{
	struct verify *v = arg;

	if (!bytes_at(&v->was, addr, 1) && vp_baseline_add_hole(&v->was, addr, len))
		v->added = SIZE_MAX;
}

/* Take over what was not known before; and forget modules that are gone. */
static int take_new(struct verify *v)
{
	struct vp_baseline *b = &v->was;
	int64_t when = time(NULL);
	size_t kept = 0, old;

	v->added = 0;
	for (size_t i = 0; i < b->nregions; i++) {
		if (vp_baseline_find(&v->now, &b->regions[i]))
			b->regions[kept++] = b->regions[i];
		else
			free(b->regions[i].bytes);
	}
	v->gone = b->nregions - kept;
	b->nregions = old = kept;
	vp_explain_probes(v->x, hole, v); /* those in regions that are new */
	for (size_t i = 0; i < v->now.nregions && v->added != SIZE_MAX; i++) {
		struct vp_baseline_region *from = &v->now.regions[i], *to;

		if (vp_baseline_find(b, from))
			continue;
		to = vp_baseline_add(b);
		if (!to)
			return no_memory(v);
		*to = *from;
		to->when = when;
		to->bytes = malloc(from->len);
		if (!to->bytes)
			return no_memory(v);
		memcpy(to->bytes, from->bytes, from->len);
		v->added++;
	}
	if (v->added == SIZE_MAX)
		return no_memory(v);
	take_us_out(v, b, old);
	return 0;
}

/* IDENTITY.jsonl has IDENTITY.baseline.gz beside it; for free(). */
static char *path_of(const char *ledger)
{
	static const char end[] = ".jsonl";
	size_t n = strlen(ledger);
	char *path;

	if (n > sizeof(end) - 1 && !strcmp(ledger + n - (sizeof(end) - 1), end))
		n -= sizeof(end) - 1;
	return asprintf(&path, "%.*s.baseline.gz", (int)n, ledger) < 0 ? NULL : path;
}

/* That of another boot, or of another kernel, says nothing of this one. */
static int read_baseline(struct verify *v, const char *path)
{
	const struct vp_linux_kernel *info = vp_linux_info(v->l);
	uint64_t boot;
	int rc = vp_control_boot(v->c, &boot, v->err);

	if (rc)
		return rc;
	rc = vp_baseline_read(path, &v->was, v->err);
	if (!rc && v->was.boot == boot && !strcmp(v->was.build_id, info->build_id))
		return 0;
	vp_baseline_clear(&v->was);
	if (rc && rc != -ENOENT)
		return rc;
	v->first = true;
	v->was.boot = boot;
	snprintf(v->was.build_id, sizeof(v->was.build_id), "%s", info->build_id);
	return 0;
}

/* --- the answer ------------------------------------------------------------------------------ */

static json_t *regions_json(const struct verify *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->now.nregions; i++) {
		const struct vp_baseline_region *r = &v->now.regions[i];
		const struct vp_baseline_region *was = vp_baseline_find(&v->was, r);
		json_t *json =
			json_pack("{s:o, s:o, s:I, s:I, s:b}", "name", vp_qmp_text(r->name), "addr",
				  vp_json_addr(r->addr), "bytes", (json_int_t)r->len, "since",
				  (json_int_t)(was ? was->when : 0), "module", r->module != 0);

		if (was)
			vp_json_set_time(json, "since-time", was->when);
		json_array_append_new(list, json);
	}
	return list;
}

static json_t *hotfixes_json(const struct verify *v, bool *bad)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->nfound; i++) {
		const struct vp_hotfix_found *f = &v->found[i];

		*bad |= !f->whole || f->stands == VP_HOTFIX_MIXED;
		json_array_append_new(list, json_pack("{s:o, s:s, s:b}", "name",
						      vp_qmp_text(f->label->name), "stands",
						      vp_hotfix_stands_name(f->stands), "whole",
						      (int)f->whole));
	}
	return list;
}

static int add_broken(void *arg, const struct vp_linux_key *key)
{
	return key->broken ? json_array_append_new(arg, json_pack("{s:o, s:o, s:o}", "name",
								  vp_qmp_text(key->name), "addr",
								  vp_json_addr(key->addr.v), "why",
								  vp_qmp_text(key->broken)))
			   : 0;
}

static json_t *result(struct verify *v, json_t *keys)
{
	json_t *changes = json_object(), *json, *hotfixes;
	bool bad = v->ndifferences || json_array_size(keys);

	for (size_t i = 0; i < VP_WHY_COUNT; i++)
		json_object_set_new(changes, vp_why_name((enum vp_why)i),
				    json_integer((json_int_t)v->why[i]));
	json_object_set_new(changes, "hotfixes", json_integer((json_int_t)v->hotfixes));
	json_object_set_new(changes, "pokes", json_integer((json_int_t)v->pokes));
	json_object_set_new(changes, "unknown", json_integer((json_int_t)v->unknown));
	hotfixes = hotfixes_json(v, &bad);
	if (vp_explain_made(v->x))
		json_array_append_new(v->unseen,
				      json_pack("{s:s, s:s, s:I}", "what",
						"code that the guest has made", "why",
						"BPF, trampolines, kprobes, hotfixes: nothing says "
						"what it should be",
						"bytes", (json_int_t)vp_explain_made(v->x)));
	json = json_pack(
		"{s:b, s:b, s:I, s:o, s:o, s:o, s:O, s:I, s:O, s:O}", "good", (int)!bad, "first",
		(int)v->first, "added", (json_int_t)v->added, "regions", regions_json(v),
		"hotfixes", hotfixes, "changes", changes, "differences", v->differences, "more",
		(json_int_t)(v->ndifferences > LISTED_MAX ? v->ndifferences - LISTED_MAX : 0),
		"broken-keys", keys, "not-verified", v->unseen);
	return json;
}

static json_t *verify(struct verify *v, const char *path, int *code)
{
	json_t *keys = json_array(), *json = NULL;

	*code = read_baseline(v, path);
	if (!*code)
		*code = look_until_quiet(v);
	if (!*code)
		*code = take_new(v);
	/* A ledger that cannot be locked is another process's, as what lies beside it. */
	if (!*code && (v->added || v->gone))
		*code = vp_control_ledger(v->c, v->err);
	if (!*code && (v->added || v->gone))
		*code = vp_baseline_write(path, &v->was, v->err);
	if (!*code)
		*code = vp_linux_keys(v->l, add_broken, keys, v->err);
	if (*code == -ENOENT) /* a kernel without static keys */
		*code = 0;
	if (!*code)
		json = result(v, keys);
	json_decref(keys);
	return json;
}

json_t *vp_control_verify(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct verify v = { .c = arg, .err = err };
	char *path = NULL;
	json_t *json = NULL;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	vp_control_refresh(v.c);
	*code = vp_control_linux(v.c, &v.l, err);
	if (!*code && !v.c->cfg.ledger)
		*code = vp_err_set(err, -EOPNOTSUPP,
				   "this VM has no ledger, so nothing is known of what it was");
	if (!*code)
		path = path_of(v.c->cfg.ledger);
	if (!*code && !path)
		*code = no_memory(&v);
	if (*code)
		return NULL;
	v.unseen = json_array();
	v.differences = json_array();
	json = verify(&v, path, code);
	forget(&v);
	vp_baseline_clear(&v.was);
	json_decref(v.unseen);
	json_decref(v.differences);
	free(path);
	return json;
}
