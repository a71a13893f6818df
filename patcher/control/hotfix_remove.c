/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotfix-remove: by its label alone, wherever it was applied from. The entries get back what the
 * label says stood there, and when nobody is left inside its memory is freed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/exit_code.h"
#include "control/hotfix.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

#define JMP_LEN VP_HOTFIX_JMP_LEN

struct removal {
	struct vp_hotfix_job job;
	const char *name;
	const struct vp_hotfix_found *f;
	struct vp_linux_ranges known;
	struct vp_linux_range text; /* of it */
	struct vp_arena arena;
	struct vp_hotfix_switch s;
	struct vp_write_args w;
	char note[64];
	int force, no_wait;
	json_t *when_idle;
	size_t freed;	     /* bytes */
	struct vp_err stays; /* why its memory stays; "": it does not */
};

/* --- which, and may it go? -------------------------------------------------------------- */

/* The newest of that name that stands, else one whose memory only is there. */
static int find(struct removal *r, struct vp_err *err)
{
	for (size_t i = 0; i < r->job.nfound; i++) {
		const struct vp_hotfix_found *f = &r->job.found[i];

		if (!strcmp(f->label->name, r->name) &&
		    (!r->f || f->stands != VP_HOTFIX_UNUSED || r->f->stands == VP_HOTFIX_UNUSED))
			r->f = f;
	}
	return r->f ? 0
		    : vp_err_set(err, -ENOENT, "no hotfix %.64s is in this guest's memory",
				 r->name);
}

/* May these bytes be put back: the nop, or a jmp to a hotfix that is there? */
static bool may_stand(const struct removal *r, const struct vp_hotfix_label_function *f)
{
	uint64_t to;
	int32_t rel;

	if (vp_hotfix_is_nop(f->before, f->site))
		return true;
	memcpy(&rel, f->before + 1, sizeof(rel));
	to = f->site.v + JMP_LEN + (uint64_t)(int64_t)rel;
	for (size_t i = 0; f->before[0] == 0xe9 && i < r->known.n; i++)
		if (r->known.list[i].start.v != r->f->at.v &&
		    to - r->known.list[i].start.v < r->known.list[i].len)
			return true;
	return false;
}

static int add_site(struct removal *r, size_t i, struct vp_err *err)
{
	const struct vp_hotfix_label_function *f = &r->f->label->functions[i];
	const struct vp_hotfix_entry *e = &r->f->entries[i];
	struct vp_site *s = &r->s.sites[r->s.n];

	switch (e->leads) {
	case VP_LEADS_BEFORE: /* there is nothing to be done */
	case VP_LEADS_UNKNOWN:
		return 0;
	case VP_LEADS_OVER:
		return vp_err_set(err, -EBUSY,
				  "hotfix %.64s is newer and has %.80s, too: remove that one first",
				  e->over ? e->over->name : "?", f->name);
	case VP_LEADS_OTHER:
		return vp_err_set(err, -ESTALE, "%.80s: somebody else has changed its entry since",
				  f->name);
	case VP_LEADS_HERE:
		break;
	}
	if (!may_stand(r, f))
		return vp_err_set(err, -ESTALE,
				  "%.80s: what its label says stood there before is neither a nop "
				  "nor leads to a hotfix that is there",
				  f->name);
	s->addr = f->site;
	s->len = JMP_LEN;
	memcpy(s->old_bytes, e->now, JMP_LEN);
	memcpy(s->new_bytes, f->before, JMP_LEN);
	r->s.n++;
	return 0;
}

static int choose_patience(struct removal *r, struct vp_err *err)
{
	uint64_t ms = VP_HOTFIX_WAIT_MS;
	int rc = vp_args_number(r->when_idle, "when-idle", 1, VP_CONTROL_TIMEOUT_MAX_MS, &ms, err);

	if (!rc && r->when_idle && (r->no_wait || r->force))
		rc = vp_err_set(err, -EINVAL, "when-idle goes with neither no-wait nor force");
	r->s.wait_ms = (unsigned int)ms;
	r->s.force = r->force;
	if (r->force || (r->s.n == 1 && !r->when_idle))
		r->s.patience = VP_HOTFIX_ANY;
	else
		r->s.patience = r->no_wait ? VP_HOTFIX_ONCE : VP_HOTFIX_WAIT;
	r->s.ranges = &r->text;
	r->s.nranges = 1;
	return rc;
}

static int plan(struct removal *r, struct vp_err *err)
{
	const struct vp_hotfix_label *l = r->f->label;
	int rc = vp_hotfix_known(r->job.found, r->job.nfound, &r->known, err);

	r->s.sites = calloc(l->nfunctions + 1, sizeof(*r->s.sites));
	if (!rc && !r->s.sites)
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < l->nfunctions && !rc; i++)
		rc = add_site(r, i, err);
	r->text = (struct vp_linux_range){ r->f->at, l->areas[VP_AREA_TEXT].size };
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		r->arena.part[i] = (struct vp_arena_part){ l->areas[i].at, l->areas[i].size };
	return rc ? rc : choose_patience(r, err);
}

/* --- the ledger ----------------------------------------------------------------------------- */

static bool is_batch_of(const json_t *line, const struct vp_hotfix_found *f)
{
	const json_t *hotfix = json_object_get(line, "hotfix");
	const json_t *text = json_array_get(json_object_get(hotfix, "areas"), 0);
	const char *object = json_string_value(json_object_get(hotfix, "object"));
	const char *at = json_string_value(json_object_get(text, "addr"));
	char digest[2 * VP_SHA256_SIZE + 1];

	vp_hex_format(f->label->object, sizeof(f->label->object), digest);
	return object && at && !strcmp(object, digest) && strtoull(at, NULL, 16) == f->at.v;
}

/* The batch that applied it, as far as the ledger of this host knows; 0: it does not. */
static int find_batch(struct removal *r, uint64_t *id, struct vp_err *err)
{
	struct vp_applied *list = NULL;
	size_t n = 0;
	int rc = vp_control_applied(r->job.c, false, &list, &n, err);

	*id = 0;
	for (size_t i = 0; i < n; i++)
		if (is_batch_of(list[i].line, r->f))
			*id = list[i].id;
	vp_control_applied_free(list, n);
	return rc;
}

static json_t *describe(const struct removal *r)
{
	const struct vp_hotfix_label *l = r->f->label;
	char digest[2 * VP_SHA256_SIZE + 1];

	vp_hex_format(l->object, sizeof(l->object), digest);
	return json_pack("{s:o, s:o, s:s}", "name", vp_qmp_text(l->name), "version",
			 vp_qmp_text(l->version), "object", digest);
}

static int begin(struct removal *r, struct vp_err *err)
{
	const struct vp_arena_witness *w = &r->job.op.witness;
	int rc = vp_operation_begin(r->job.c, "hotfix-remove",
				    json_pack("{s:o, s:o}", "hotfix", describe(r), "free",
					      vp_json_addr(r->job.recipe.free.v)),
				    &r->job.op, err);

	for (size_t i = 0; i < VP_ARENA_KINDS && !rc; i++)
		if (r->arena.part[i].size)
			rc = w->got(w->arg, 0, (enum vp_arena_kind)i, r->arena.part[i].at,
				    r->arena.part[i].size, err);
	return rc;
}

/* --- doing it -------------------------------------------------------------------------------- */

static int call(struct removal *r, enum vmpoke_when when, struct vp_err *err)
{
	const struct vp_hotfix_label *l = r->f->label;
	vp_gva fns[VMPOKE_CALL_COUNT];
	size_t n = 0;

	for (size_t i = 0; i < l->ncalls; i++)
		if (l->calls[i].when == when)
			fns[n++] = l->calls[i].at;
	return vp_hotfix_job_call(&r->job, fns, n, err);
}

static json_t *switch_back(struct removal *r, int *code, struct vp_err *err)
{
	json_t *more, *ret;

	*code = call(r, VMPOKE_WHEN_BEFORE_REMOVE, err);
	if (!*code)
		*code = find_batch(r, &r->s.takes_back, err);
	if (*code)
		return NULL;
	more = json_pack("{s:o, s:I}", "hotfix", describe(r), "operation",
			 (json_int_t)r->job.op.seq);
	snprintf(r->note, sizeof(r->note), "%.40s %.20s", r->f->label->name, r->f->label->version);
	r->w.note = r->note;
	r->s.command = VP_LEDGER_REMOVE;
	r->s.more = more;
	ret = vp_hotfix_switch(&r->job, &r->s, code, err);
	json_decref(more);
	return ret;
}

/* Nothing leads there any more. If it cannot be freed now, that is to be known, and no failure. */
static int release(struct removal *r, struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = 0, said = 0;

	if (!r->s.idle)
		rc = vp_hotfix_wait_idle(&r->job, &r->text, 1, r->no_wait ? 0 : r->s.wait_ms, &why);
	if (!rc && r->f->stands != VP_HOTFIX_UNUSED)
		said = call(r, VMPOKE_WHEN_AFTER_REMOVE, &why);
	if (said == -EUCLEAN || said == -EFAULT)
		return vp_err_set(err, said == -EFAULT ? -VP_EAPPLIED : said,
				  "its functions are switched back, but %.150s; its memory stays: "
				  "`vmpoke recover`",
				  why.text);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		r->freed += r->arena.part[i].size;
	if (!rc)
		rc = vp_hotfix_job_free(&r->job, &r->arena, &why);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		r->freed -= r->arena.part[i].size;
	/* What is left of it when its label is gone only the ledger knows. */
	if (rc == -EUCLEAN || rc == -EFAULT || (rc && !r->arena.part[VP_ARENA_TEXT].size))
		return vp_err_set(err, -EUCLEAN,
				  "its functions are switched back, but %.150s: `vmpoke recover`",
				  why.text);
	if (rc)
		r->stays = why;
	vp_operation_done(&r->job.op, rc ? why.text : "removed", NULL);
	return said ? vp_err_set(err, -VP_EAPPLIED, "it is removed, but %.200s", why.text) : 0;
}

static json_t *answer(const struct removal *r, const json_t *batch)
{
	const struct vp_hotfix_label *l = r->f->label;
	json_t *json = json_pack("{s:o, s:o, s:b, s:b, s:I, s:i}", "name", vp_qmp_text(l->name),
				 "version", vp_qmp_text(l->version), "removed", !r->w.dry_run,
				 "dry-run", r->w.dry_run, "freed-bytes", (json_int_t)r->freed,
				 "tries", (int)r->s.tries);

	json_object_set_new(json, "functions", json_integer((json_int_t)r->s.n));
	if (batch)
		json_object_set(json, "id", json_object_get(batch, "id"));
	if (r->stays.text[0])
		json_object_set_new(json, "memory-stays", vp_qmp_text(r->stays.text));
	if (r->s.forced.text[0])
		json_object_set_new(json, "forced", vp_qmp_text(r->s.forced.text));
	vp_hotfix_job_report(&r->job, json);
	return json;
}

static json_t *run(struct removal *r, int *code, struct vp_err *err)
{
	json_t *batch = NULL, *json = NULL;
	bool switched = !r->s.n;

	*code = begin(r, err);
	if (!*code && r->s.n) {
		batch = switch_back(r, code, err);
		switched = !*code || *code == -VP_EAPPLIED;
	}
	if (!*code || (switched && *code == -VP_EAPPLIED)) {
		struct vp_err why = { "" };
		int rc = release(r, &why);

		if (rc)
			*code = vp_err_set(err, rc, "%s", why.text);
	} else if (*code != -EUCLEAN && *code != -EFAULT) {
		vp_operation_done(&r->job.op, err->text, NULL);
	}
	if (!*code)
		json = answer(r, batch);
	json_decref(batch);
	return json;
}

json_t *vp_control_hotfix_remove(void *arg, const json_t *args, int *fd, int *code,
				 struct vp_err *err)
{
	struct vp_control *c = arg;
	struct removal r = { .job = { .w = &r.w } };
	json_t *json = NULL;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:s, s?b, s?b, s?o, " VP_WRITE_ARGS_FMT "}", "name",
			       &r.name, "force", &r.force, "no-wait", &r.no_wait, "when-idle",
			       &r.when_idle, VP_WRITE_ARGS(&r.w));
	if (!*code)
		*code = vp_control_may_write(c, err);
	if (!*code)
		*code = vp_hotfix_job_begin(&r.job, c, err);
	if (!*code)
		*code = find(&r, err);
	if (!*code)
		*code = plan(&r, err);
	if (!*code)
		json = r.w.dry_run ? answer(&r, NULL) : run(&r, code, err);
	free((void *)r.known.list);
	free(r.s.sites);
	vp_hotfix_job_end(&r.job);
	return json;
}
