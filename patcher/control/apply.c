/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apply a batch, or take one back: tell its phases, record it. Each runs to its end whatever
 * becomes of the client that asked, so a batch is never left half done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/internal.h"

/* A batch on its way: what the callbacks of the engine need. */
struct job {
	struct vp_control *control;
	const char *command;
	uint64_t id; /* revert: which; 0: none */
	const struct vp_site *sites;
	size_t nsites;
	const struct vp_poke_opts *opts;
	bool begun; /* the ledger holds its begin */
};

static void name_of(void *arg, vp_gva addr, char *text, size_t size)
{
	uint64_t offset;
	const char *name = vp_control_name(arg, addr, &offset);

	if (name)
		snprintf(text, size, "%s+0x%llx", name, (unsigned long long)offset);
}

/* On disk before the first byte is written. */
static int write_begin(void *arg, struct vp_err *err)
{
	struct job *j = arg;
	struct vp_control *c = j->control;
	const struct vp_linux_info *kernel;
	struct vp_linux *l;
	struct vp_ledger_begin b = {
		.command = j->command,
		.id = j->id,
		.uid = geteuid(),
		.pid = getpid(),
		.note = j->opts->note,
		.strategy = j->opts->strategy,
		.sites = j->sites,
		.nsites = j->nsites,
		.words = j->opts->words,
		.nwords = j->opts->nwords,
		.name = name_of,
		.arg = c,
	};
	int rc = vp_control_ledger(c, err);

	if (!rc && c->ledger)
		rc = vp_control_boot(c, &b.boot, err);
	if (rc || !c->ledger)
		return rc;
	if (!vp_control_linux(c, &l, NULL)) {
		kernel = vp_linux_info(l);
		b.kernel = kernel->release;
		b.build_id = kernel->build_id;
	}
	if (c->cfg.who)
		c->cfg.who(c->cfg.host, &b.uid, &b.pid);
	rc = vp_ledger_begin(c->ledger, &b, err);
	j->begun = !rc;
	return rc;
}

/* The batch stands as the engine says; that the ledger cannot be written is said all the same. */
static int write_end(struct job *j, int rc, uint64_t id, struct vp_err *err)
{
	struct vp_ledger *l = j->control->ledger;
	struct vp_err why;

	if (!j->begun || rc == -EUCLEAN) /* not ended: `vmpoke recover` puts it right */
		return rc;
	if (rc)
		vp_ledger_end(l, id ? "applied" : "failed", id, err ? err->text : NULL, NULL);
	else if (vp_ledger_end(l, "applied", id, NULL, &why))
		rc = vp_err_set(err, -EIO, "the change is made, but %.200s", why.text);
	return rc;
}

static void tell_phase(void *arg, enum vp_phase phase)
{
	const struct job *j = arg;
	struct vp_control *c = j->control;
	json_t *data;

	if (!c->cfg.event)
		return;
	data = json_pack("{s:s, s:s}", "command", j->command, "phase", vp_phase_name(phase));
	if (j->nsites)
		json_object_set_new(data, "sites", json_integer((json_int_t)j->nsites));
	if (j->id)
		json_object_set_new(data, "id", json_integer((json_int_t)j->id));
	c->cfg.event(c->cfg.host, "POKE_PHASE", data);
}

static json_t *result_json(const struct vp_poke_result *r, const struct vp_poke_opts *opts)
{
	return json_pack("{s:I, s:I, s:i, s:s, s:b}", "id", (json_int_t)r->id, "sites",
			 (json_int_t)r->sites, "syncs", (int)r->syncs, "strategy",
			 vp_strategy_name(opts->strategy), "dry-run", (int)opts->dry_run);
}

/* @out holds the default. */
static int parse_strategy(const char *name, enum vp_strategy *out, struct vp_err *err)
{
	if (!name)
		return 0;
	*out = VP_STRATEGY_INT3;
	if (!strcmp(name, vp_strategy_name(VP_STRATEGY_INT3)))
		return 0;
	*out = VP_STRATEGY_STOP;
	if (!strcmp(name, vp_strategy_name(VP_STRATEGY_STOP)))
		return 0;
	return vp_err_set(err, -EINVAL, "strategy must be int3 or stop");
}

static int parse_opts(struct job *j, const struct vp_write_args *w, struct vp_poke_opts *opts,
		      struct vp_err *err)
{
	uint64_t timeout_ms = 0;
	int ret;

	*opts = (struct vp_poke_opts)VP_POKE_OPTS_INIT;
	opts->strategy = j->control->cfg.strategy;
	ret = parse_strategy(w->strategy, &opts->strategy, err);
	if (!ret)
		ret = vp_args_number(w->timeout, "timeout", 1, VP_CONTROL_TIMEOUT_MAX_MS,
				     &timeout_ms, err);
	opts->timeout_ms = (unsigned int)timeout_ms;
	opts->dry_run = w->dry_run;
	opts->note = w->note;
	opts->when = time(NULL);
	opts->permit = write_begin;
	opts->phase = tell_phase;
	opts->phase_arg = j;
	j->opts = opts;
	return ret;
}

/* Kernel text is translated by the kernel's own tables, wherever the vCPUs are. */
static int choose_space(struct job *j, struct vp_poke_opts *opts, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < j->nsites && !rc; i++) {
		rc = vp_control_space(j->control, j->sites[i].addr, &opts->space, err);
		if (!opts->space)
			break;
	}
	return rc;
}

/* --- again ------------------------------------------------------------------- */

#define NAP_MS	   4u
#define NAP_MAX_MS 64u

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool vp_control_again(struct vp_patience *p, const struct vp_write_args *w, int code)
{
	uint64_t timeout_ms = VP_TIMEOUT_MS;
	struct timespec nap;

	if (code != -EAGAIN ||
	    vp_args_number(w->timeout, "timeout", 1, VP_CONTROL_TIMEOUT_MAX_MS, &timeout_ms, NULL))
		return false;
	if (!p->until_ms)
		*p = (struct vp_patience){ now_ms() + (int64_t)timeout_ms, NAP_MS };
	if (now_ms() >= p->until_ms)
		return false;
	nap = (struct timespec){ .tv_nsec = (long)p->nap_ms * 1000000 };
	nanosleep(&nap, NULL);
	p->nap_ms = p->nap_ms * 3 / 2 < NAP_MAX_MS ? p->nap_ms * 3 / 2 : NAP_MAX_MS;
	return true;
}

/* --- applying ---------------------------------------------------------------- */

json_t *vp_control_apply(struct vp_control *c, const char *command, const struct vp_write_args *w,
			 const struct vp_control_batch *b, int *code, struct vp_err *err)
{
	struct job j = { .control = c, .command = command, .sites = b->sites, .nsites = b->nsites };
	struct vp_poke_result result = { 0 };
	struct vp_poke_opts opts;

	*code = parse_opts(&j, w, &opts, err);
	if (*code)
		return NULL;
	opts.words = b->words;
	opts.nwords = b->nwords;
	*code = choose_space(&j, &opts, err);
	if (!*code)
		*code = vp_poke(c->cfg.engine, b->sites, b->nsites, &opts, &result, err);
	if (c->cfg.short_lived && result.id)
		result.id = vp_ledger_next_id(c->ledger);
	*code = write_end(&j, *code, result.id, err);
	return *code ? NULL : result_json(&result, &opts);
}

/* --- taking back ------------------------------------------------------------- */

/* The sites that put the old bytes back. NULL: no memory. */
static struct vp_site *inverse_of(const struct vp_applied *a)
{
	struct vp_site *back = calloc(a->nsites + 1, sizeof(*back));

	for (size_t i = 0; back && i < a->nsites; i++)
		back[i] = vp_site_inverse(&a->sites[i]);
	return back;
}

/* And the words. */
static struct vp_word *inverse_words_of(const struct vp_applied *a)
{
	struct vp_word *back = calloc(a->nwords + 1, sizeof(*back));

	for (size_t i = 0; back && i < a->nwords; i++)
		back[i] = vp_word_inverse(&a->words[i]);
	return back;
}

json_t *vp_control_take_back(struct vp_control *c, const struct vp_write_args *w,
			     const struct vp_applied *a, int *code, struct vp_err *err)
{
	struct vp_site *back = inverse_of(a);
	struct vp_word *words = inverse_words_of(a);
	struct job j = {
		.control = c, .command = "revert", .id = a->id, .sites = back, .nsites = a->nsites
	};
	struct vp_poke_result result = { 0 };
	struct vp_poke_opts opts;

	*code = back && words ? parse_opts(&j, w, &opts, err)
			      : vp_err_set(err, -ENOMEM, "out of memory");
	if (!*code)
		*code = choose_space(&j, &opts, err);
	if (!*code) {
		opts.words = words;
		opts.nwords = a->nwords;
		if (c->cfg.short_lived)
			*code = vp_poke(c->cfg.engine, back, a->nsites, &opts, &result, err);
		else
			*code = vp_revert(c->cfg.engine, a->id, &opts, &result, err);
		result.id = a->id;
		*code = write_end(&j, *code, *code ? 0 : a->id, err);
	}
	free(back);
	free(words);
	return *code ? NULL : result_json(&result, &opts);
}
