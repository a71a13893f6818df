/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_vm.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/tell.h"
#include "cli/client.h"
#include "cli/common.h"

#define PAGE "4096"

struct run {
	const struct vp_bench_vm_config *cfg;
	struct vp_client client;
	char text[24];	  /* an address of its code; "": none is known */
	bool holds;	  /* it may be held for a moment */
	bool is_on;	  /* the key, at first */
	bool away;	  /* what is switched is not as it was */
	long long id;	  /* of the batch that is to be taken back */
	double held_ms;	  /* by us, of this step; < 0: not known */
	json_t *site;	  /* as command poke wants it */
	long long pauses; /* of the first round */
	double longest_ms;
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* --- steps: each what a command does. An exit code. --------------------------------------- */

static int call(struct run *r, const char *command, json_t *args)
{
	json_t *ret = NULL;
	int code = vp_client_call(&r->client, command, args, &ret);

	json_decref(ret);
	return code;
}

static int info(struct run *r)
{
	struct vp_err err;
	int rc, code = call(r, "query-vm", json_object());

	/* That it holds no Linux is a fact about it, not a failure. */
	if (!code && vp_client_try(&r->client, "query-kernel", json_object(), NULL, &rc, &err))
		code = vp_client_is_broken(&r->client) ? VP_EXIT_UNREACHABLE : VP_EXIT_OK;
	return code;
}

static int symbols(struct run *r)
{
	return call(r, "query-symbols", json_object());
}

static int read_page(struct run *r)
{
	return call(r, "read-memory", json_pack("{s:s, s:i}", "addr", r->text, "len", 4096));
}

static int hold(struct run *r)
{
	double start = now_ms();
	int code;

	if (r->client.remote)
		return call(r, "stop-and-go-on", json_object());
	code = call(r, "stop", json_object());
	if (!code)
		code = call(r, "cont", json_object());
	r->held_ms = now_ms() - start;
	return code;
}

static int set_key(struct run *r, bool on)
{
	json_t *ret = NULL;
	int code = vp_client_call(&r->client, "key-set",
				  json_pack("{s:s, s:b}", "key", r->cfg->key, "on", (int)on), &ret);

	r->away = code ? r->away : on != r->is_on;
	json_decref(ret);
	return code;
}

static int there(struct run *r)
{
	json_t *ret = NULL;
	int code;

	if (r->cfg->key)
		return set_key(r, !r->is_on);
	code = vp_client_call(&r->client, "poke", json_pack("{s:[O]}", "sites", r->site), &ret);
	r->id = vp_client_int(ret, "id");
	r->away = !code && r->id;
	if (!code && !r->id)
		code = vp_cmd_fail("bench", VP_EXIT_REFUSED,
				   "the new bytes stand there already: nothing to switch");
	json_decref(ret);
	return code;
}

static int back(struct run *r)
{
	int code;

	if (!r->away)
		return VP_EXIT_OK;
	if (r->cfg->key)
		return set_key(r, r->is_on);
	code = call(r, "revert", json_pack("{s:I}", "id", (json_int_t)r->id));
	r->away = code;
	return code;
}

static bool always(const struct run *r)
{
	(void)r;
	return true;
}

static bool has_text(const struct run *r)
{
	return *r->text;
}

static bool may_hold(const struct run *r)
{
	return r->holds;
}

static bool switches(const struct run *r)
{
	return r->cfg->key || r->site;
}

static const struct step {
	const char *name;
	int (*run)(struct run *r);
	bool (*wanted)(const struct run *r);
} steps[] = {
	{ "info", info, always },
	{ "all symbols", symbols, always },
	{ "read " PAGE " bytes", read_page, has_text },
	{ "stop and go on", hold, may_hold },
	{ "switch there", there, switches },
	{ "switch back", back, switches },
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* --- rounds ------------------------------------------------------------------------------- */

static int open_client(struct run *r)
{
	return vp_client_open_linux(&r->client, "bench", r->cfg->target, VP_CLIENT_TIMEOUT_MS,
				    r->cfg->kernel);
}

/* How long it stood still for this step. */
static void take_pause(struct run *r, struct vp_samples *pause)
{
	json_t *vm = NULL;
	struct vp_err err;
	double ms = r->held_ms;
	int rc;

	if (r->client.remote &&
	    !vp_client_try(&r->client, "query-vm", json_object(), &vm, &rc, &err)) {
		ms = (double)vp_client_int(vm, "longest-pause-us") / 1e3;
		r->pauses += vp_client_int(vm, "pauses");
	} else if (ms >= 0) {
		r->pauses++;
	}
	json_decref(vm);
	if (ms >= 0)
		vp_samples_add(pause, ms);
	if (ms > r->longest_ms)
		r->longest_ms = ms;
}

/* As a command of its own would: open, do it, let go. */
static int do_step(struct run *r, const struct step *s, struct vp_samples *wall,
		   struct vp_samples *pause)
{
	double start = now_ms();
	int code = open_client(r);

	if (code)
		return code;
	r->held_ms = -1;
	code = s->run(r);
	if (!code) {
		vp_samples_add(wall, now_ms() - start);
		take_pause(r, pause);
	}
	return vp_client_close(&r->client, code);
}

/* What could not be switched back must not be forgotten. */
static void tell_away(const struct run *r)
{
	if (r->away && r->cfg->key)
		vp_cmd_fail("bench", 0, "%s is not as it was: vmpoke key set %s %s %s", r->cfg->key,
			    r->cfg->target, r->cfg->key, r->is_on ? "on" : "off");
	else if (r->away)
		vp_cmd_fail("bench", 0, "%s is not as it was: vmpoke revert %s %lld",
			    r->cfg->site.where, r->cfg->target, r->id);
}

static int one_round(struct run *r, struct vp_samples *wall, struct vp_samples *pause)
{
	int code = VP_EXIT_OK;

	for (size_t i = 0; !code && i < STEPS; i++)
		if (steps[i].wanted(r))
			code = do_step(r, &steps[i], &wall[i], &pause[i]);
	if (r->away && !open_client(r)) { /* something failed on the way: once more */
		back(r);
		vp_client_close(&r->client, VP_EXIT_OK);
	}
	tell_away(r);
	return code;
}

static bool is_to_end(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
	       sigismember(&pending, SIGHUP);
}

static int rounds(struct run *r, json_t *doc)
{
	struct vp_samples wall[STEPS] = { 0 }, pause[STEPS] = { 0 };
	int code = VP_EXIT_OK;

	for (unsigned int i = 0; !code && i < r->cfg->runs && !is_to_end(); i++) {
		code = one_round(r, wall, pause);
		if (!code && !i && r->pauses)
			vp_common_note(
				"bench",
				"in the first of %u rounds it stood still %lld time(s), %.1f "
				"ms at the longest",
				r->cfg->runs, r->pauses, r->longest_ms);
		vp_common.quiet = true; /* what needs attention was said when it was opened first */
		vp_tell_progress("rounds", i + 1, r->cfg->runs);
	}
	for (size_t i = 0; i < STEPS; i++) {
		vp_bench_doc_add(doc, "command-wall", "vmpoke", 0, steps[i].name, &wall[i]);
		vp_bench_doc_add(doc, "command-pause", "vmpoke", 0, steps[i].name, &pause[i]);
	}
	return code;
}

/* --- before ------------------------------------------------------------------------------- */

static int learn_key(struct run *r)
{
	json_t *keys = NULL;
	const json_t *key;
	int code = vp_client_call(&r->client, "query-keys", json_pack("{s:s}", "key", r->cfg->key),
				  &keys);

	if (code)
		return code;
	key = json_array_get(keys, 0);
	r->is_on = vp_client_int(key, "enabled") > 0;
	if (!key || *vp_client_text(key, "broken") || vp_client_int(key, "enabled") > 1)
		code = vp_cmd_fail("bench", VP_EXIT_REFUSED,
				   "%s cannot be switched there and back: see vmpoke key list %s "
				   "%s",
				   r->cfg->key, r->cfg->target, r->cfg->key);
	json_decref(keys);
	return code;
}

/* An address that can be read: the kernel's code, or the first symbol. */
static int learn_text(struct run *r)
{
	json_t *kernel = NULL, *list = NULL;
	struct vp_err err;
	int rc;

	vp_client_try(&r->client, "query-kernel", json_object(), &kernel, &rc, &err);
	if (!kernel)
		vp_client_try(&r->client, "query-symbols", json_object(), &list, &rc, &err);
	snprintf(r->text, sizeof(r->text), "%s",
		 kernel ? vp_client_text(kernel, "text")
			: vp_client_text(json_array_get(list, 0), "addr"));
	json_decref(kernel);
	json_decref(list);
	return vp_client_is_broken(&r->client) ? VP_EXIT_UNREACHABLE : VP_EXIT_OK;
}

/* All that has to be known of it, in one look. */
static int learn(struct run *r)
{
	json_t *status = NULL;
	int code = vp_client_call(&r->client, "query-status", json_object(), &status);

	r->holds = json_is_true(json_object_get(status, "running"));
	json_decref(status);
	if (!code)
		code = learn_text(r);
	if (!code && r->cfg->key)
		code = learn_key(r);
	if (!code && r->cfg->site.where)
		code = vp_poke_site_json(&(struct vp_poke_names){ &r->client, NULL }, &r->cfg->site,
					 &r->site);
	return code;
}

/* For how long is it going to stand still? Once, and it is known. */
static int try_hold(struct run *r)
{
	const struct step try = { "", hold, may_hold };
	struct vp_samples wall = { 0 }, pause = { 0 };
	int code;

	vp_common_note("bench", "its vCPUs are held once, to see for how long that is");
	code = do_step(r, &try, &wall, &pause);
	vp_samples_free(&wall);
	vp_samples_free(&pause);
	return code;
}

/* What is going to happen, before any of it does. */
static void tell_plan(const struct run *r)
{
	unsigned int n = r->cfg->runs;

	vp_common_note("bench", "%u rounds: info, all symbols, a page of its code%s", n,
		       r->holds ? "" : "; it does not run, so nothing stops it and lets it go on");
	if (r->holds)
		vp_common_note(
			"bench",
			"in each its vCPUs are held once and go on at once: it stands still %u "
			"times for about %.1f ms, as has just been tried",
			n, r->longest_ms);
	if (switches(r))
		vp_common_note(
			"bench",
			"in each %s is switched there and back, with all checks, and lines in "
			"the ledger; it may stand still for that, the first round tells how long; "
			"in the end it is as it was, also after Ctrl-C",
			r->cfg->key ? r->cfg->key : r->cfg->site.where);
	else
		vp_common_note("bench", "nothing is written to its memory");
}

static int measure(struct run *r, json_t *doc)
{
	int code = open_client(r);

	if (code)
		return code;
	code = vp_client_close(&r->client, learn(r));
	if (!code && r->holds)
		code = try_hold(r);
	if (code)
		return code;
	tell_plan(r);
	r->pauses = 0;
	r->longest_ms = 0;
	if (!r->holds)
		vp_bench_doc_note(doc, "it did not run: it was not stopped and let go on");
	return rounds(r, doc);
}

int vp_bench_vm(const struct vp_bench_vm_config *cfg, json_t *doc)
{
	struct run r = { .cfg = cfg };
	bool quiet = vp_common.quiet;
	sigset_t ending, before;
	int code;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, &before);
	code = measure(&r, doc);
	json_decref(r.site);
	vp_common.quiet = quiet;
	sigprocmask(SIG_SETMASK, &before, NULL); /* one that waited is taken here */
	return code;
}
