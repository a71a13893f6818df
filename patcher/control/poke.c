/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that change guest code. Each runs to its end on the server's thread whatever
 * becomes of the client that asked, so a batch is never left half done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/hex.h"
#include "vmm/control_internal.h"

#define TIMEOUT_MAX_MS	 600000u
#define SITES_LISTED_MAX 4096 /* in one answer of query-pokes that names no batch */

static int parse_strategy(const char *name, enum vp_strategy *out, struct vp_err *err)
{
	*out = VP_STRATEGY_INT3;
	if (!name || !strcmp(name, vp_strategy_name(VP_STRATEGY_INT3)))
		return 0;
	*out = VP_STRATEGY_STOP;
	if (!strcmp(name, vp_strategy_name(VP_STRATEGY_STOP)))
		return 0;
	return vp_err_set(err, -EINVAL, "strategy must be int3 or stop");
}

static int parse_resume(const char *name, bool has_fixup, enum vp_resume *out, struct vp_err *err)
{
	enum vp_resume r = has_fixup ? VP_RESUME_FIXUP : VP_RESUME_PARK;

	if (name) {
		for (r = VP_RESUME_PARK; r <= VP_RESUME_FIXUP; r++)
			if (!strcmp(name, vp_resume_name(r)))
				break;
		if (r > VP_RESUME_FIXUP)
			return vp_err_set(err, -EINVAL, "resume must be park, emulate or fixup");
	}
	if (has_fixup != (r == VP_RESUME_FIXUP))
		return vp_err_set(err, -EINVAL, "%s",
				  has_fixup ? "a fixup address needs resume fixup"
					    : "resume fixup needs a fixup address");
	*out = r;
	return 0;
}

static int parse_site(struct vp_vm *vm, const json_t *json, struct vp_site *s, struct vp_err *err)
{
	const char *old_text, *new_text, *resume = NULL;
	json_t *addr, *fixup = NULL;
	size_t old_len, new_len;
	int ret;

	ret = vp_args_unpack(json, err, "{s:o, s:s, s:s, s?s, s?o}", "addr", &addr, "old",
			     &old_text, "new", &new_text, "resume", &resume, "fixup", &fixup);
	if (!ret)
		ret = vp_args_addr(vm, addr, &s->addr, err);
	if (!ret)
		ret = vp_hex_parse("old", old_text, s->old_bytes, VP_INSN_MAX, &old_len, err);
	if (!ret)
		ret = vp_hex_parse("new", new_text, s->new_bytes, VP_INSN_MAX, &new_len, err);
	if (!ret && old_len != new_len)
		ret = vp_err_set(err, -EINVAL,
				 "old has %zu bytes, new has %zu: make them the same length",
				 old_len, new_len);
	if (!ret)
		ret = parse_resume(resume, fixup != NULL, &s->resume, err);
	if (!ret && fixup)
		ret = vp_args_addr(vm, fixup, &s->fixup, err);
	if (!ret)
		s->len = (uint8_t)old_len;
	return ret;
}

static int parse_sites(struct vp_vm *vm, const json_t *list, struct vp_site **out, size_t *n,
		       struct vp_err *err)
{
	struct vp_err why;
	size_t i;
	int ret;

	*n = json_array_size(list); /* 0 also for what is not an array */
	if (!*n)
		return vp_err_set(err, -EINVAL, "sites must be an array that is not empty");
	*out = calloc(*n, sizeof(**out));
	if (!*out)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (i = 0; i < *n; i++) {
		ret = parse_site(vm, json_array_get(list, i), &(*out)[i], &why);
		if (ret)
			return vp_err_set(err, ret, "site %zu: %.240s", i, why.text);
	}
	return 0;
}

/* What a phase callback needs to tell the clients. */
struct progress {
	struct vp_control *control;
	const char *command;
	uint64_t id; /* revert: which; 0: the newest */
	size_t sites;
};

static void tell_phase(void *arg, enum vp_phase phase)
{
	const struct progress *p = arg;
	json_t *data =
		json_pack("{s:s, s:s}", "command", p->command, "phase", vp_phase_name(phase));

	if (p->sites)
		json_object_set_new(data, "sites", json_integer((json_int_t)p->sites));
	if (p->id)
		json_object_set_new(data, "id", json_integer((json_int_t)p->id));
	vp_qmp_server_event(p->control->server, "POKE_PHASE", data);
}

static json_t *result_json(const struct vp_poke_result *r, const struct vp_poke_opts *opts)
{
	return json_pack("{s:I, s:I, s:i, s:s, s:b}", "id", (json_int_t)r->id, "sites",
			 (json_int_t)r->sites, "syncs", (int)r->syncs, "strategy",
			 vp_strategy_name(opts->strategy), "dry-run", (int)opts->dry_run);
}

static int parse_opts(struct vp_poke_opts *opts, const char *strategy, int dry_run,
		      const json_t *timeout, struct progress *progress, struct vp_err *err)
{
	uint64_t timeout_ms = 0;
	int ret = parse_strategy(strategy, &opts->strategy, err);

	if (!ret)
		ret = vp_args_number(timeout, "timeout", 1, TIMEOUT_MAX_MS, &timeout_ms, err);
	opts->timeout_ms = (unsigned int)timeout_ms;
	opts->dry_run = dry_run;
	opts->when = time(NULL);
	opts->phase = tell_phase;
	opts->phase_arg = progress;
	return ret;
}

json_t *vp_control_poke(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	struct progress progress = { .control = c, .command = "poke" };
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	struct vp_poke_result result = { 0 };
	const char *strategy = NULL;
	struct vp_site *sites = NULL;
	json_t *list, *timeout = NULL;
	size_t n = 0;
	int dry_run = 0, ret;

	(void)fd;
	ret = vp_args_unpack(args, err, "{s:o, s?s, s?b, s?o}", "sites", &list, "strategy",
			     &strategy, "dry-run", &dry_run, "timeout", &timeout);
	if (!ret)
		ret = parse_opts(&opts, strategy, dry_run, timeout, &progress, err);
	if (!ret)
		ret = parse_sites(c->vm, list, &sites, &n, err);
	progress.sites = n;
	if (!ret)
		ret = vp_poke(vp_vm_engine(c->vm), sites, n, &opts, &result, err);
	free(sites);
	*code = ret;
	return ret ? NULL : result_json(&result, &opts);
}

json_t *vp_control_revert(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	struct progress progress = { .control = c, .command = "revert" };
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	struct vp_poke_result result = { 0 };
	const char *strategy = NULL;
	json_t *id = NULL, *timeout = NULL;
	int dry_run = 0, ret;

	(void)fd;
	ret = vp_args_unpack(args, err, "{s?o, s?s, s?b, s?o}", "id", &id, "strategy", &strategy,
			     "dry-run", &dry_run, "timeout", &timeout);
	if (!ret)
		ret = vp_args_number(id, "id", 1, INT64_MAX, &progress.id, err);
	if (!ret)
		ret = parse_opts(&opts, strategy, dry_run, timeout, &progress, err);
	if (!ret)
		ret = vp_revert(vp_vm_engine(c->vm), progress.id, &opts, &result, err);
	*code = ret;
	return ret ? NULL : result_json(&result, &opts);
}

/* --- query-pokes --- */

struct listing {
	struct vp_vm *vm;
	uint64_t id; /* 0: all */
	json_t *list;
	size_t sites;
};

static json_t *site_json(struct vp_vm *vm, const struct vp_site *s)
{
	char old_text[2 * VP_INSN_MAX + 1], new_text[2 * VP_INSN_MAX + 1];
	json_t *json = json_object();

	vp_hex_format(s->old_bytes, s->len, old_text);
	vp_hex_format(s->new_bytes, s->len, new_text);
	vp_json_set_where(vm, json, s->addr);
	json_object_set_new(json, "old", json_string(old_text));
	json_object_set_new(json, "new", json_string(new_text));
	json_object_set_new(json, "resume", json_string(vp_resume_name(s->resume)));
	if (s->resume == VP_RESUME_FIXUP)
		json_object_set_new(json, "fixup", vp_json_addr(s->fixup.v));
	return json;
}

static int list_record(void *arg, const struct vp_record *rec)
{
	struct listing *l = arg;
	json_t *json, *sites;
	size_t i;

	if (l->id && l->id != rec->id)
		return 0;
	json = json_pack("{s:I, s:s, s:I, s:I}", "id", (json_int_t)rec->id, "strategy",
			 vp_strategy_name(rec->strategy), "when", (json_int_t)rec->when, "nsites",
			 (json_int_t)rec->nsites);
	json_array_append_new(l->list, json);
	l->sites += rec->nsites;
	if (!l->id && l->sites > SITES_LISTED_MAX)
		return 0;
	sites = json_array();
	for (i = 0; i < rec->nsites; i++)
		json_array_append_new(sites, site_json(l->vm, &rec->sites[i]));
	json_object_set_new(json, "sites", sites);
	return 0;
}

json_t *vp_control_query_pokes(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err)
{
	struct vp_control *c = arg;
	struct listing l = { .vm = c->vm };
	json_t *id = NULL;
	int ret;

	(void)fd;
	ret = vp_args_unpack(args, err, "{s?o}", "id", &id);
	if (!ret)
		ret = vp_args_number(id, "id", 1, INT64_MAX, &l.id, err);
	if (ret) {
		*code = ret;
		return NULL;
	}
	l.list = json_array();
	ret = vp_engine_records(vp_vm_engine(c->vm), list_record, &l);
	if (!ret && l.id && !json_array_size(l.list))
		ret = vp_err_set(err, -ENOENT, "no batch %llu is applied",
				 (unsigned long long)l.id);
	else if (ret)
		vp_err_set(err, ret, "the applied batches cannot be listed: %s", strerror(-ret));
	if (ret) {
		json_decref(l.list);
		*code = ret;
		return NULL;
	}
	return l.list;
}
