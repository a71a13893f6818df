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

#include "control/exit_code.h"
#include "control/internal.h"
#include "target/qmp_wire.h"

/* A batch on its way: what the callbacks of the engine need. */
struct job {
	struct vp_control *control;
	const char *command;
	uint64_t id;	 /* revert: which; 0: none */
	uint64_t number; /* that the ledger gave it; 0: none */
	const struct vp_site *sites;
	size_t nsites;
	const struct vp_poke_opts *opts;
	bool stop;  /* no other strategy is right */
	bool force; /* who owns the bytes was asked, and does not matter */
	const char *forced;
	const struct vp_control_batch *batch; /* NULL: a revert's */
	bool permitted;		    /* all checks have passed, and writing may have begun */
	bool begun;		    /* the ledger holds its begin */
	const char *text;	    /* to be said with its end; NULL: nothing */
	const struct vp_left *left; /* revert: what of it */
};

static void place_of(void *arg, vp_gva addr, struct vp_ledger_place *place)
{
	struct vp_linux *l = NULL;
	const char *module = NULL, *name;
	uint64_t offset;

	name = vp_control_name(arg, addr, &offset);
	if (name)
		snprintf(place->symbol, sizeof(place->symbol), "%s+0x%llx", name,
			 (unsigned long long)offset);
	if (!vp_control_linux(arg, &l, NULL))
		module = vp_linux_module_of(l, addr, &place->module_at);
	if (module)
		snprintf(place->module, sizeof(place->module), "%s", module);
}

/* On disk before the first byte is written. */
static int write_begin(void *arg, struct vp_err *err)
{
	struct job *j = arg;
	struct vp_control *c = j->control;
	struct vp_linux *l = NULL;
	struct vp_ledger_vm vm = { 0 };
	struct vp_ledger_begin b = {
		.command = j->command,
		.id = j->id,
		.uid = geteuid(),
		.pid = getpid(),
		.note = j->opts->note,
		.strategy = j->opts->strategy,
		.sites = j->sites,
		.nsites = j->nsites,
		.force = j->force,
		.forced = j->forced,
		.words = j->opts->words,
		.nwords = j->opts->nwords,
		.more = j->batch ? j->batch->more : NULL,
		.place = place_of,
		.arg = c,
	};
	int rc = vp_control_may_write(c, err);

	if (!rc && c->ledger)
		rc = vp_control_vm(c, &vm, err);
	j->permitted = !rc;
	if (rc || !c->ledger)
		return rc;
	b.boot = vm.boot;
	b.build_id = vm.build_id;
	b.process = vm.process;
	if (!vp_control_linux(c, &l, NULL))
		b.kernel = vp_linux_info(l)->release;
	/* Where the engine lives on it numbers the batches, when they are applied. */
	if (c->cfg.short_lived && !j->id)
		b.number = vp_ledger_next_id(c->ledger);
	if (c->cfg.who)
		c->cfg.who(c->cfg.host, &b.uid, &b.pid);
	rc = vp_ledger_begin(c->ledger, &b, err);
	j->begun = !rc;
	j->permitted = !rc;
	j->number = b.number;
	return rc;
}

/*
 * What the code of a batch that failed says is where it got to (docs/control-protocol.md):
 * -EUCLEAN, half of it may stand; -VP_EAPPLIED, it is applied, but; -EAGAIN, -ETIMEDOUT and
 * -ECANCELED, begun or not, the old bytes stand; all others, not one byte was written.
 */
static int where_it_got(const struct job *j, int rc, bool applied)
{
	if (!rc || rc == -EUCLEAN || rc == -EAGAIN || rc == -ETIMEDOUT)
		return rc;
	if (j->permitted)
		return applied ? -VP_EAPPLIED : -ECANCELED;
	return rc;
}

/* The batch stands as the engine says; that the ledger cannot be written is said all the same. */
static int write_end(struct job *j, int rc, uint64_t id, struct vp_err *err)
{
	struct vp_ledger *l = j->control->ledger;
	struct vp_err why;

	rc = where_it_got(j, rc, id != 0);
	if (!j->begun || rc == -EUCLEAN) /* not ended: `vmpoke recover` puts it right */
		return rc;
	if (rc)
		vp_ledger_end(l, id ? "applied" : "failed", id, err ? err->text : NULL, NULL);
	else if (vp_ledger_end(l, "applied", id, j->text, &why))
		rc = vp_err_set(err, -VP_EAPPLIED, "the change is made, but %.200s", why.text);
	vp_ledger_rotate(l, j->control->cfg.boot, NULL); /* if it fails, the next one tries again */
	return rc;
}

static int inspect(void *arg, struct vp_err *err)
{
	const struct vp_control_batch *b = ((const struct job *)arg)->batch;

	return b->inspect(b->inspect_arg, err);
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
	opts->strategy = j->stop ? VP_STRATEGY_STOP : j->control->cfg.strategy;
	ret = parse_strategy(w->strategy, &opts->strategy, err);
	if (!ret && j->stop && opts->strategy != VP_STRATEGY_STOP)
		ret = vp_err_set(
			err, -EINVAL,
			"this changes data that the guest changes, too, which is right only "
			"while nobody runs: use --strategy stop");
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
	if (!j->nsites && opts->nwords)
		rc = vp_control_space(j->control, opts->words[0].addr, &opts->space, err);
	return rc;
}

/* The engine knows the address of a word that did not hold; a person wants its name. */
static int name_word(const struct job *j, int rc, const struct vp_poke_result *result,
		     struct vp_err *err)
{
	const struct vp_poke_opts *o = j->opts;
	const char *name;

	if (rc != -EAGAIN || result->bad_word < 0 || (size_t)result->bad_word >= o->nwords)
		return rc;
	name = vp_control_name(j->control, o->words[result->bad_word].addr, NULL);
	if (!name)
		return rc;
	return vp_err_set(err, rc,
			  "the guest is at work there: %.60s is not as it must be (a lock of those "
			  "who patch, or ftrace in use: a tracer, a livepatch, BPF); nothing is "
			  "changed, try again",
			  name);
}

/* --- applying ---------------------------------------------------------------- */

json_t *vp_control_apply(struct vp_control *c, const char *command, const struct vp_write_args *w,
			 const struct vp_control_batch *b, int *code, struct vp_err *err)
{
	struct job j = {
		.control = c,
		.command = command,
		.id = b->takes_back,
		.batch = b,
		.sites = b->sites,
		.nsites = b->nsites,
		.stop = b->stop,
		.force = b->force,
		.forced = b->forced,
	};
	struct vp_poke_result result = { .bad_word = -1 };
	struct vp_poke_opts opts;

	*code = parse_opts(&j, w, &opts, err);
	if (*code)
		return NULL;
	opts.words = b->words;
	opts.nwords = b->nwords;
	opts.inspect = b->inspect ? inspect : NULL;
	*code = choose_space(&j, &opts, err);
	if (!*code)
		*code = vp_poke(c->cfg.engine, b->sites, b->nsites, &opts, &result, err);
	*code = name_word(&j, *code, &result, err);
	if (result.id && (j.number || j.id))
		result.id = j.number ? j.number : j.id;
	*code = write_end(&j, *code, result.id, err);
	return *code ? NULL : result_json(&result, &opts);
}

/* --- taking back ------------------------------------------------------------- */

/* The sites and words that put the old bytes back, in place. */
static void turn_round(struct vp_left *left)
{
	for (size_t i = 0; i < left->nsites; i++)
		left->sites[i] = vp_site_inverse(&left->sites[i]);
	for (size_t i = 0; i < left->nwords; i++)
		left->words[i] = vp_word_inverse(&left->words[i]);
}

/* Is something of the batch left at @addr? For an engine that has the record itself. */
static bool is_left(void *arg, vp_gva addr)
{
	const struct vp_left *left = ((const struct job *)arg)->left;

	for (size_t i = 0; i < left->nsites; i++)
		if (left->sites[i].addr.v == addr.v)
			return true;
	for (size_t i = 0; i < left->nwords; i++)
		if (left->words[i].addr.v == addr.v)
			return true;
	return false;
}

static bool words_change(const struct vp_left *left)
{
	for (size_t i = 0; i < left->nwords; i++)
		if (!vp_word_is_condition(&left->words[i]))
			return true;
	return false;
}

/* Nothing is left to be written: the ledger alone is to say so. */
static int take_back_record(struct job *j, const struct vp_applied *a, const struct vp_left *left,
			    struct vp_err *err)
{
	const struct vp_poke_opts *opts = j->opts;
	int rc;

	if (opts->dry_run)
		return 0;
	j->sites = a->sites; /* a begin says what it is about */
	j->nsites = a->nsites;
	rc = write_begin(j, err);
	j->text = left->gone ? "nothing was left of it" : "its old bytes stood there already";
	return rc;
}

static int take_back(struct job *j, const struct vp_applied *a, const struct vp_left *left,
		     struct vp_poke_opts *opts, struct vp_poke_result *result, struct vp_err *err)
{
	struct vp_control *c = j->control;
	bool nothing = !left->nsites && !words_change(left);
	int rc;

	opts->words = left->words;
	opts->nwords = left->nwords;
	opts->is_left = is_left;
	rc = choose_space(j, opts, err);
	if (!rc && nothing)
		rc = take_back_record(j, a, left, err);
	if (!rc && !c->cfg.short_lived)
		rc = vp_revert(c->cfg.engine, a->id, opts, result, err);
	else if (!rc && !nothing)
		rc = vp_poke(c->cfg.engine, left->sites, left->nsites, opts, result, err);
	return rc;
}

/* Is the name that @where has a way to say @addr? It is none where several have it. */
static bool leads_back(struct vp_control *c, const json_t *where, vp_gva addr)
{
	const char *symbol = json_string_value(json_object_get(where, "symbol"));
	vp_gva at;
	json_t *text = symbol ? json_sprintf("%s+%lld", symbol,
					     (long long)json_integer_value(
						     json_object_get(where, "offset")))
			      : NULL;
	bool back = text && !vp_args_addr(c, text, &at, NULL) && at.v == addr.v;

	json_decref(text);
	return back;
}

/* What was taken back, as far as it takes to do it again. */
static json_t *took_back_json(struct vp_control *c, const struct vp_applied *a)
{
	static const char *const keys[] = { "command", "force" };
	json_t *json = json_object();

	for (size_t i = 0; a->line && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(a->line, keys[i]))
			json_object_set(json, keys[i], json_object_get(a->line, keys[i]));
	if (a->note && *a->note)
		json_object_set_new(json, "note", vp_qmp_text(a->note));
	if (a->nsites != 1)
		return json;
	vp_json_set_where(c, json, a->sites->addr);
	if (!leads_back(c, json, a->sites->addr)) {
		json_object_del(json, "symbol");
		json_object_del(json, "offset");
	}
	vp_json_set_change(json, a->sites);
	return json;
}

static uint64_t batches_applied(const struct vp_control *c)
{
	struct vp_poke_stats stats;

	vp_engine_stats(c->cfg.engine, &stats);
	return stats.batches;
}

json_t *vp_control_take_back(struct vp_control *c, const struct vp_write_args *w,
			     const struct vp_applied *a, int *code, struct vp_err *err)
{
	struct vp_left left = { 0 };
	struct job j = {
		.control = c,
		.command = "revert",
		.id = a->id,
		.left = &left,
		.stop = a->nwords && a->strategy == VP_STRATEGY_STOP,
	};
	struct vp_poke_result result = { .bad_word = -1 };
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	uint64_t was;
	char text[80];
	json_t *ret;

	*code = vp_control_left(c, a, &left, err);
	if (!*code) {
		j.stop |= !left.nsites && words_change(&left); /* there is no int3 for a word */
		*code = parse_opts(&j, w, &opts, err);
	}
	if (!*code) {
		turn_round(&left);
		j.sites = left.sites;
		j.nsites = left.nsites;
		if (left.gone || left.old) {
			snprintf(
				text, sizeof(text),
				"of its sites %zu are gone with their module, %zu were old already",
				left.gone, left.old);
			j.text = text;
		}
		was = batches_applied(c);
		*code = take_back(&j, a, &left, &opts, &result, err);
		*code = name_word(&j, *code, &result, err);
		result.id = a->id;
		/* What failed in the very last step has taken the batch back all the same. */
		*code = write_end(&j, *code, !*code || batches_applied(c) != was ? a->id : 0, err);
	}
	ret = *code ? NULL : result_json(&result, &opts);
	if (ret)
		json_object_set_new(ret, "took-back", took_back_json(c, a));
	if (ret && (left.gone || left.old))
		json_object_update_new(ret, json_pack("{s:I, s:I}", "gone", (json_int_t)left.gone,
						      "old", (json_int_t)left.old));
	vp_left_clear(&left);
	return ret;
}
