/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotfix-apply. Until the switch the guest does not know: memory is got, filled and compared, and
 * freed again if anything goes wrong. Each step is written down before the next begins.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "control/exit_code.h"
#include "control/hotfix.h"
#include "target/hex.h"
#include "target/qmp_wire.h"
#include "x86/encode.h"

#define JMP_LEN VP_HOTFIX_JMP_LEN

struct apply {
	struct vp_hotfix_job job;
	struct vp_hotfix_opened o;
	struct vp_hotfix_before *before;
	struct vp_hotfix_plan plan;
	struct vp_hotfix_placing *place;
	struct vp_arena arena;
	struct vp_hotfix_switch s;
	struct vp_write_args w;
	char who[VP_LABEL_WHO_MAX + 1], note[64];
	struct vp_linux_ranges known;
	int replace, force, no_wait;
	json_t *when_idle;
	const struct vp_hotfix_found *same; /* it is applied already */
	bool switched;
};

/* --- what is there already -------------------------------------------------------------- */

static int look_at(struct apply *a, const struct vp_hotfix_found *f, struct vp_err *err)
{
	const char *name = vp_hotfix_object_about(a->o.object)->name;

	if (f->stands == VP_HOTFIX_MIXED)
		return vp_err_set(
			err, -EBUSY,
			"hotfix %.64s is there in part only: look at `vmpoke status`, and "
			"remove it first",
			f->label->name);
	if (f->stands != VP_HOTFIX_APPLIED)
		return 0;
	if (!memcmp(f->label->object, a->o.digest, sizeof(a->o.digest)))
		a->same = f;
	else if (!a->replace && !strcmp(f->label->name, name))
		return vp_err_set(
			err, -EEXIST,
			"hotfix %.64s %.32s is applied already, of another object: remove "
			"it first, or --replace all that are applied",
			name, f->label->version);
	return 0;
}

static int look_around(struct apply *a, struct vp_err *err)
{
	size_t applied = 0;
	int rc = 0;

	for (size_t i = 0; i < a->job.nfound && !rc; i++) {
		rc = look_at(a, &a->job.found[i], err);
		applied += a->job.found[i].stands == VP_HOTFIX_APPLIED;
	}
	if (a->replace && applied != 1) /* it is to be the only one */
		a->same = NULL;
	return rc ? rc : vp_hotfix_known(a->job.found, a->job.nfound, &a->known, err);
}

/* --- what will stand at the entries -------------------------------------------------------- */

/* What stood at @site before any hotfix; NULL: none is there. */
static const struct vp_hotfix_label_function *original(const struct apply *a, vp_gva site)
{
	for (size_t i = 0; i < a->job.nfound; i++) {
		const struct vp_hotfix_label *l = a->job.found[i].label;

		for (size_t j = 0; j < l->nfunctions; j++)
			if (a->job.found[i].stands == VP_HOTFIX_APPLIED &&
			    l->functions[j].site.v == site.v)
				return &l->functions[j];
	}
	return NULL;
}

/* What comes in the place of all must find the entries' own nops: a label may lie. */
static int check_originals(const struct apply *a, struct vp_err *err)
{
	for (size_t i = 0; i < a->job.nfound; i++) {
		const struct vp_hotfix_label *l = a->job.found[i].label;

		for (size_t j = 0; j < l->nfunctions; j++) {
			const struct vp_hotfix_label_function *o =
				original(a, l->functions[j].site);

			if (o && !vp_hotfix_is_nop(o->before, o->site))
				return vp_err_set(err, -ESTALE,
						  "%.80s: what stood there before all hotfixes is "
						  "not known: remove them one by one",
						  o->name);
		}
	}
	return 0;
}

static bool is_listed(const struct vp_hotfix_switch *s, vp_gva site)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->sites[i].addr.v == site.v)
			return true;
	return false;
}

/* Entries that the new one does not have get back what stood there at first. */
static void add_replaced(struct apply *a)
{
	for (size_t i = 0; i < a->job.nfound; i++) {
		const struct vp_hotfix_found *f = &a->job.found[i];

		for (size_t j = 0; j < f->label->nfunctions; j++) {
			vp_gva site = f->label->functions[j].site;
			struct vp_site *s = &a->s.sites[a->s.n];

			if (f->stands != VP_HOTFIX_APPLIED || is_listed(&a->s, site) ||
			    f->entries[j].leads > VP_LEADS_OVER)
				continue;
			s->addr = site;
			s->len = JMP_LEN;
			memcpy(s->old_bytes, f->entries[j].now, JMP_LEN);
			memcpy(s->new_bytes, original(a, site)->before, JMP_LEN);
			a->s.n++;
		}
	}
}

static size_t count_functions(const struct apply *a)
{
	size_t n = a->o.fit->about->nfunctions;

	for (size_t i = 0; i < a->job.nfound; i++)
		n += a->job.found[i].label->nfunctions;
	return n;
}

static int list_sites(struct apply *a, struct vp_err *err)
{
	const struct vp_hotfix_fit *fit = a->o.fit;
	size_t n = count_functions(a);
	int rc;

	a->s.sites = calloc(n + 1, sizeof(*a->s.sites));
	a->before = calloc(fit->about->nfunctions + 1, sizeof(*a->before));
	rc = a->s.sites && a->before ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc && a->replace)
		rc = check_originals(a, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < fit->about->nfunctions; i++) {
		const struct vp_linux_function *f = &fit->functions[i];
		const struct vp_hotfix_label_function *o = original(a, f->site);
		struct vp_site *s = &a->s.sites[a->s.n++];

		s->addr = f->site;
		s->len = JMP_LEN;
		memcpy(s->old_bytes, f->old_bytes, JMP_LEN);
		s->new_bytes[0] = 0xe9; /* where to is not known yet */
		a->before[i].site = f->site;
		memcpy(a->before[i].bytes, a->replace && o ? o->before : f->old_bytes, JMP_LEN);
		if (a->replace && o)
			a->before[i].record = o->record;
	}
	if (a->replace)
		add_replaced(a);
	return 0;
}

/* Whose flags will be changed: the label says it. It is also the first look at who owns them. */
static int find_records(struct apply *a, struct vp_err *err)
{
	size_t n = a->o.fit->about->nfunctions;
	struct vp_patience patience = { 0 };
	struct vp_linux_care care;
	vp_gva site;
	int rc;

	do
		rc = vp_linux_redirect_plan(a->job.l, a->s.sites, a->s.n, a->force, &care, err);
	while (vp_control_again(&patience, &a->w, rc));
	if (rc)
		return rc;
	for (size_t i = 0; i < care.nwords; i++) {
		if (!vp_words_are_record(&care.words[i], care.nwords - i, &site))
			continue;
		for (size_t j = 0; j < n; j++)
			if (a->before[j].site.v == site.v)
				a->before[j].record = care.words[i].addr;
	}
	vp_linux_care_free(&care);
	return 0;
}

/* --- who is not to be inside --------------------------------------------------------------- */

static void add_range(struct vp_hotfix_switch *s, vp_gva start, uint64_t len)
{
	if (len)
		s->ranges[s->nranges++] = (struct vp_linux_range){ start, len };
}

/* The old functions, and the hotfixes that they lead to, or that go. */
static int list_ranges(struct apply *a, struct vp_err *err)
{
	const struct vp_hotfix_fit *fit = a->o.fit;
	size_t n = fit->about->nfunctions;

	a->s.ranges = calloc(n * (1 + VP_LINUX_COLD_MAX) + a->known.n + 1, sizeof(*a->s.ranges));
	if (!a->s.ranges)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct vp_linux_function *f = &fit->functions[i];

		add_range(&a->s, f->site, f->len - (f->site.v - f->start.v));
		for (size_t j = 0; j < f->ncold; j++)
			add_range(&a->s, f->cold[j].start, f->cold[j].len);
	}
	for (size_t i = 0; i < a->known.n; i++)
		add_range(&a->s, a->known.list[i].start, a->known.list[i].len);
	return 0;
}

static int choose_patience(struct apply *a, struct vp_err *err)
{
	uint64_t ms = VP_HOTFIX_WAIT_MS;
	bool several = a->o.fit->about->nfunctions > 1 || a->replace;
	int rc = vp_args_number(a->when_idle, "when-idle", 1, VP_CONTROL_TIMEOUT_MAX_MS, &ms, err);

	if (rc)
		return rc;
	if (a->when_idle && (a->no_wait || a->force))
		return vp_err_set(err, -EINVAL, "when-idle goes with neither no-wait nor force");
	a->s.wait_ms = (unsigned int)ms;
	a->s.force = a->force;
	a->s.patience = a->force ? VP_HOTFIX_ANY : a->no_wait ? VP_HOTFIX_ONCE : VP_HOTFIX_WAIT;
	return several || a->when_idle ? list_ranges(a, err) : 0;
}

/* --- planning -------------------------------------------------------------------------------- */

static void say_who(struct apply *a)
{
	char user[61], host[65] = "";
	uid_t uid = geteuid();
	pid_t pid;

	if (a->job.c->cfg.who)
		a->job.c->cfg.who(a->job.c->cfg.host, &uid, &pid);
	gethostname(host, sizeof(host) - 1);
	vp_process_user(uid, user, sizeof(user));
	snprintf(a->who, sizeof(a->who), "%s@%s", user, host);
	vp_text_clean(a->who);
}

/* All that can be known before anything is done. Where it does not fit, o.fit is NULL. */
static int plan(struct apply *a, struct vp_err *err)
{
	int rc = vp_hotfix_fit_open(a->job.l, a->o.object, &a->known, &a->o.fit, &a->o.blockers,
				    err);

	if (rc)
		return rc == -ENOEXEC && a->o.blockers.n ? 0 : rc;
	rc = list_sites(a, err);
	if (!rc)
		rc = find_records(a, err);
	if (!rc)
		rc = choose_patience(a, err);
	if (rc)
		return rc;
	say_who(a);
	a->plan = (struct vp_hotfix_plan){
		.fit = a->o.fit, .before = a->before, .who = a->who, .when = time(NULL)
	};
	memcpy(a->plan.object, a->o.digest, sizeof(a->plan.object));
	return vp_hotfix_placing_new(&a->plan, &a->place, err);
}

/* --- doing it ----------------------------------------------------------------------------------
 */

static json_t *describe(const struct apply *a)
{
	const struct vp_hotfix_about *about = a->o.fit->about;
	char digest[2 * VP_SHA256_SIZE + 1];
	json_t *functions = json_array(), *areas = json_array(), *json, *signer;

	vp_hex_format(a->o.digest, sizeof(a->o.digest), digest);
	for (size_t i = 0; i < about->nfunctions; i++)
		json_array_append_new(functions, vp_qmp_text(about->functions[i].old.name));
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		json_array_append_new(areas, json_pack("{s:o, s:I}", "addr",
						       vp_json_addr(a->arena.part[i].at.v), "size",
						       (json_int_t)a->arena.part[i].size));
	json = json_pack("{s:o, s:o, s:s, s:o, s:o}", "name", vp_qmp_text(about->name), "version",
			 vp_qmp_text(about->version), "object", digest, "areas", areas, "functions",
			 functions);
	signer = vp_hotfix_signer_json(&a->o);
	if (signer)
		json_object_set_new(json, "signed", signer);
	return json;
}

static int begin(struct apply *a, struct vp_err *err)
{
	uint64_t size[VP_ARENA_KINDS];
	json_t *line = json_pack("{s:o, s:o, s:o}", "hotfix", describe(a), "alloc",
				 vp_json_addr(a->job.recipe.alloc.v), "free",
				 vp_json_addr(a->job.recipe.free.v)),
	       *sizes = json_array();

	vp_hotfix_placing_sizes(a->place, size);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		json_array_append_new(sizes, json_integer((json_int_t)size[i]));
	json_object_set_new(line, "sizes", sizes);
	return vp_operation_begin(a->job.c, "hotfix-apply", line, &a->job.op, err);
}

static int place(struct apply *a, struct vp_err *err)
{
	uint64_t size[VP_ARENA_KINDS];
	struct vp_target *t = a->job.t;
	int rc;

	vp_hotfix_placing_sizes(a->place, size);
	rc = vp_hotfix_job_alloc(&a->job, size, &a->arena, err);
	if (!rc)
		rc = vp_hotfix_placing_link(a->place, &a->arena, &a->o.blockers, err);
	if (rc == -ENOEXEC) /* the file is right, the guest's memory lies too far away */
		rc = -ERANGE;
	if (!rc)
		rc = vp_hotfix_job_lock(&a->job, err);
	if (rc)
		return rc;
	rc = vp_hotfix_placing_write(a->place, t, &vp_linux_info(a->job.l)->space, err);
	t->ops->unlock(t);
	return rc;
}

static int call(struct apply *a, enum vmpoke_when when, struct vp_err *err)
{
	const struct vp_hotfix_image *image = vp_hotfix_placing_image(a->place);
	vp_gva fns[VMPOKE_CALL_COUNT];
	size_t n = 0;

	for (size_t i = 0; i < image->ncalls; i++)
		if (image->calls[i].call->when == when)
			fns[n++] = image->calls[i].at;
	return vp_hotfix_job_call(&a->job, fns, n, err);
}

/* The first sites are those of the new functions. */
static int aim(struct apply *a, struct vp_err *err)
{
	const struct vp_hotfix_image *image = vp_hotfix_placing_image(a->place);
	int rc = 0;

	for (size_t i = 0; i < image->nredirects && rc >= 0; i++)
		rc = vp_encode_jmp(a->s.sites[i].new_bytes, JMP_LEN, a->s.sites[i].addr,
				   image->redirects[i].replacement);
	return rc < 0 ? vp_err_set(err, rc, "the new code is out of reach of a jmp") : 0;
}

static json_t *do_switch(struct apply *a, int *code, struct vp_err *err)
{
	json_t *more = json_pack("{s:o, s:I, s:b}", "hotfix", describe(a), "operation",
				 (json_int_t)a->job.op.seq, "replaces", a->replace),
	       *ret;

	snprintf(a->note, sizeof(a->note), "%.40s %.20s", a->o.fit->about->name,
		 a->o.fit->about->version);
	a->w.note = a->note;
	a->s.command = "hotfix-apply";
	a->s.more = more;
	ret = vp_hotfix_switch(&a->job, &a->s, code, err);
	a->switched = !*code || *code == -VP_EAPPLIED;
	json_decref(more);
	return ret;
}

static bool holds_memory(const struct apply *a)
{
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		if (a->arena.part[i].size)
			return true;
	return false;
}

/*
 * It is not applied: free what was got. What can be told only when the guest has been recovered
 * (-EUCLEAN, half a batch or a call cut off; -EFAULT, it oopsed) is left to `vmpoke recover`.
 */
static int give_up(struct apply *a, int rc, struct vp_err *err)
{
	struct vp_err why = { "" };

	if (!a->job.op.seq && !holds_memory(a))
		return rc;
	if (rc == -EUCLEAN || rc == -EFAULT)
		return rc;
	if (rc != -ENXIO && holds_memory(a) && vp_hotfix_job_free(&a->job, &a->arena, &why)) {
		struct vp_err first = *err;

		return vp_err_set(
			err, -EUCLEAN,
			"%.120s; and its memory could not be freed (%.80s): `vmpoke recover`",
			first.text, why.text);
	}
	vp_operation_done(&a->job.op, err->text, NULL);
	return rc;
}

static uint64_t memory_used(const struct apply *a)
{
	uint64_t n = 0;

	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		n += a->arena.part[i].size;
	return n;
}

static json_t *run(struct apply *a, int *code, struct vp_err *err)
{
	json_t *ret = NULL;

	*code = begin(a, err);
	if (!*code)
		*code = place(a, err);
	if (!*code)
		*code = call(a, VMPOKE_WHEN_BEFORE_APPLY, err);
	if (!*code)
		*code = aim(a, err);
	if (!*code)
		ret = do_switch(a, code, err);
	if (!a->switched) {
		*code = give_up(a, *code, err);
		return NULL;
	}
	return ret;
}

/* Those that the new one is in the place of: nothing leads there any more. */
static int free_replaced(struct apply *a, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < a->job.nfound && !rc; i++)
		if (a->job.found[i].stands == VP_HOTFIX_APPLIED)
			rc = vp_hotfix_job_sweep(&a->job, &a->job.found[i], a->s.wait_ms, NULL,
						 err);
	return rc;
}

/* It is applied; what is still to be done cannot change that. */
static int finish(struct apply *a, int code, struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = call(a, VMPOKE_WHEN_AFTER_APPLY, &why);

	if (rc != -EUCLEAN)
		vp_operation_done(&a->job.op, rc ? why.text : "applied", NULL);
	if (!rc && a->replace)
		rc = free_replaced(a, &why);
	if (rc && !code)
		code = vp_err_set(err, rc == -EUCLEAN ? rc : -VP_EAPPLIED,
				  "it is applied, but %.200s", why.text);
	return code;
}

/* --- the answer --------------------------------------------------------------------------------
 */

static json_t *same_json(const struct apply *a)
{
	const struct vp_hotfix_label *l = a->same->label;

	return json_pack("{s:o, s:o, s:b, s:b}", "name", vp_qmp_text(l->name), "version",
			 vp_qmp_text(l->version), "applied", 1, "already", 1);
}

static json_t *answer(struct apply *a, json_t *batch)
{
	json_t *json = vp_hotfix_fit_json(&a->o);

	json_object_set_new(json, "applied", json_boolean(a->switched));
	json_object_set_new(json, "already", json_false());
	json_object_set_new(json, "dry-run", json_boolean(a->w.dry_run));
	if (batch)
		json_object_set(json, "id", json_object_get(batch, "id"));
	json_object_set_new(json, "memory-bytes", json_integer((json_int_t)memory_used(a)));
	json_object_set_new(json, "tries", json_integer(a->s.tries));
	if (a->s.forced.text[0])
		json_object_set_new(json, "forced", vp_qmp_text(a->s.forced.text));
	if (a->force && a->s.nranges && !a->s.idle)
		json_object_set_new(json, "inside", vp_qmp_text(a->s.who.text));
	vp_hotfix_job_report(&a->job, json);
	return json;
}

static json_t *apply(struct apply *a, int *code, struct vp_err *err)
{
	json_t *batch = NULL, *json = NULL;

	*code = look_around(a, err);
	if (!*code && a->same)
		return same_json(a);
	if (!*code)
		*code = plan(a, err);
	if (*code)
		return NULL;
	if (a->o.fit && !a->w.dry_run) {
		batch = run(a, code, err);
		if (a->switched)
			*code = finish(a, *code, err);
	}
	if (!*code)
		json = answer(a, batch);
	json_decref(batch);
	return json;
}

static int unpack(struct apply *a, const json_t *args, struct vp_err *err)
{
	struct vp_hotfix_sent sent = { 0 };
	int rc =
		vp_args_unpack(args, err,
			       "{s:s, s:s, s?s, s?b, s?b, s?b, s?o, " VP_WRITE_ARGS_FMT "}", "what",
			       &sent.what, "object", &sent.hex, "signature", &sent.signature,
			       "replace", &a->replace, "force", &a->force, "no-wait", &a->no_wait,
			       "when-idle", &a->when_idle, VP_WRITE_ARGS(&a->w));

	return rc ? rc
		  : vp_hotfix_opened_read_for(&a->o, &sent, &a->job.c->cfg.keyrings, a->job.c, NULL,
					      err);
}

json_t *vp_control_hotfix_apply(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_control *c = arg;
	struct apply *a = calloc(1, sizeof(*a));
	json_t *json = NULL;

	(void)fd;
	*code = a ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
	if (!a)
		return NULL;
	vp_control_refresh(c);
	a->job.c = c;
	*code = unpack(a, args, err);
	if (!*code)
		*code = vp_control_may_write(c, err);
	a->job.w = &a->w;
	if (!*code)
		*code = vp_hotfix_job_begin(&a->job, c, err);
	if (!*code)
		json = apply(a, code, err);
	vp_hotfix_placing_free(a->place);
	free((void *)a->known.list);
	free(a->s.sites);
	free(a->s.ranges);
	free(a->before);
	vp_hotfix_job_end(&a->job);
	vp_hotfix_opened_close(&a->o);
	free(a);
	return json;
}
