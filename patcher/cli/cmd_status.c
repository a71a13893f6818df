/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke status: the guest's state, the pokes that are applied, and the counters. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/colour.h"
#include "cli/history.h"
#include "cli/hotfixes.h"
#include "cli/options.h"
#include "cli/pokes.h"
#include "control/ledger.h"
#include "control/paths.h"
#include "control/when.h"

static const char help[] =
	"usage: vmpoke status TARGET [--sites] [--history] [--json]\n"
	"\n"
	"Show whether the guest runs, its vCPUs, the pokes that are applied (oldest first): who,\n"
	"when, what, and whether the memory still says so; the hotfixes that its memory tells of\n"
	"(vmpoke hotfix list); and what was counted since it started.\n"
	"\n"
	"  --sites    every site of every poke; without it those alone that do not stand\n"
	"  --history  the ledger instead: every change that was ever begun, and how it ended;\n"
	"             also of a VM that is off (of libvirt), or no more (of vmpoke run)\n"
	"  --json     print one JSON object, with sites as far as there are not too many\n"
	"             (docs/control-protocol.md, query-pokes); with --history an array: the\n"
	"             lines of the ledger\n"
	"\n"
	"Exit code: 0; 2 bad options; 4 no such target, or it does not answer.\n";

struct status_args {
	const char *target;
	bool sites, history, json;
};

struct status {
	json_t *status, *cpus, *pokes, *vm, *hotfixes;
	struct vp_err no_pokes; /* why what is applied cannot be told */
	struct vp_err no_hotfixes;
	bool no_linux;
};

static int query(struct vp_client *c, struct status *s)
{
	int rc = 0, code = vp_client_call(c, "query-status", json_object(), &s->status);

	if (!code)
		code = vp_client_call(c, "query-cpus-fast", json_object(), &s->cpus);
	if (!code)
		code = vp_client_call(c, "query-vm", json_object(), &s->vm);
	if (!code)
		code = vp_client_pokes(c, json_object(), &s->pokes, &s->no_pokes);
	if (!code)
		code = vp_client_hotfixes(c, &s->hotfixes, &rc, &s->no_hotfixes);
	s->no_linux = rc == -ENOENT;
	return code;
}

static void print_json(const struct status *s)
{
	const json_t *attention = json_object_get(s->vm, "attention");
	json_t *out = json_pack("{s:O, s:O, s:O?, s:O, s:O*}", "status",
				json_object_get(s->status, "status"), "vcpus", s->cpus, "pokes",
				s->pokes, "stats", json_object_get(s->vm, "stats"), "serializing",
				json_object_get(s->vm, "serializing"));

	if (!s->pokes)
		json_object_set_new(out, "pokes", json_null());
	/* null: they cannot be told; a guest without Linux has none. */
	if (s->no_linux)
		json_object_set_new(out, "hotfixes", json_array());
	else
		json_object_set_new(out, "hotfixes",
				    s->hotfixes
					    ? json_incref(json_object_get(s->hotfixes, "hotfixes"))
					    : json_null());
	if (json_array_size(json_object_get(s->hotfixes, "livepatches")))
		json_object_set(out, "livepatches", json_object_get(s->hotfixes, "livepatches"));
	if (json_array_size(json_object_get(s->hotfixes, "damaged")))
		json_object_set(out, "damaged-hotfixes", json_object_get(s->hotfixes, "damaged"));
	if (attention)
		json_object_set(out, "attention", (json_t *)attention);
	if (*s->no_pokes.text)
		json_object_set_new(out, "attention", vp_qmp_text(s->no_pokes.text));

	vp_client_print(out);
	json_decref(out);
}

static void print_site(const json_t *site)
{
	const char *resume = vp_client_text(site, "resume"), *fixup = vp_client_text(site, "fixup");
	bool good = vp_poke_stands(site);
	char where[128];

	printf("     %s %s  0x%s -> 0x%s  %s%s%s  %s%s%s\n", vp_client_text(site, "addr"),
	       vp_client_where(site, where, sizeof(where)), vp_client_text(site, "old"),
	       vp_client_text(site, "new"), resume, *fixup ? " " : "", fixup,
	       good ? "" : vp_colour(VP_COLOUR_BAD), vp_poke_standing(site),
	       good ? "" : vp_colour_end());
}

/* "3 site(s) (site_3, ...), all stand": how many, where the first is, and how they are. */
static void print_sites_line(const json_t *poke)
{
	const json_t *sites = json_object_get(poke, "sites"), *site, *first;
	long long n = vp_client_int(poke, "nsites"), covered = 0, bad = 0;
	char where[128];
	size_t i;

	json_array_foreach(sites, i, site)
	{
		covered += !strcmp(vp_client_text(site, "now"), "covered");
		bad += !vp_poke_stands(site);
	}
	printf("%lld site(s)", n);
	first = json_array_get(sites, 0);
	if (first && *vp_client_where(first, where, sizeof(where)))
		printf(" (%s%s)", where, n > 1 ? ", ..." : "");
	else if (first)
		printf(" (%s%s)", vp_client_text(first, "addr"), n > 1 ? ", ..." : "");
	if (bad)
		printf(", %s%lld DO NOT STAND%s", vp_colour(VP_COLOUR_BAD), bad, vp_colour_end());
	else if (first)
		fputs(n > 1 ? ", all stand" : ", stands", stdout);
	if (covered)
		printf(", %lld below a newer poke", covered);
	putchar('\n');
}

static void print_poke(const json_t *poke, bool all)
{
	const json_t *sites = json_object_get(poke, "sites"), *site;
	const char *fate = vp_client_text(poke, "fate"), *note = vp_client_text(poke, "note");
	char when[VP_WHEN_TEXT];
	size_t i;

	printf("  %lld  %s  %s %s%s%s  %s  ", vp_client_int(poke, "id"),
	       vp_when_local(vp_client_int(poke, "when"), when), vp_client_text(poke, "user"),
	       vp_client_text(poke, "command"), *note ? " " : "", note,
	       vp_client_text(poke, "strategy"));
	print_sites_line(poke);
	if (*fate)
		printf("     %sSTANDS WITHOUT A RECORD%s: for the ledger it is %s (an earlier "
		       "state of the memory is back, this is a clone, or the guest did it "
		       "itself)\n",
		       vp_colour(VP_COLOUR_BAD), vp_colour_end(),
		       !strcmp(fate, "elsewhere") ? "applied in another VM" : fate);
	if (*vp_client_text(poke, "forced"))
		printf("     forced: %s\n", vp_client_text(poke, "forced"));
	json_array_foreach(sites, i, site)
	{
		if (all || !vp_poke_stands(site))
			print_site(site);
	}
}

static void print_counters(const json_t *counters)
{
	const json_t *value;
	const char *key, *sep = "";

	json_object_foreach((json_t *)counters, key, value)
	{
		if (!json_is_integer(value))
			continue;
		printf("%s%s %lld", sep, key, (long long)json_integer_value(value));
		sep = ", ";
	}
	putchar('\n');
}

/* "2 vCPUs (0, 2 halted)". */
static void print_vcpus(const json_t *cpus)
{
	size_t i, n = json_array_size(cpus);
	const json_t *cpu;

	printf("%zu vCPU%s (", n, n == 1 ? "" : "s");
	json_array_foreach(cpus, i, cpu)
		printf("%s%lld%s", i ? ", " : "", vp_client_int(cpu, "cpu-index"),
		       json_is_true(json_object_get(cpu, "halted")) ? " halted" : "");
	puts(")");
}

/* "serialized by kick: syncs 6, kicks 9, ...; for each batch and vCPU 0.75 kicks". */
static void print_serializing(const struct status *s)
{
	const json_t *counted = json_object_get(s->vm, "serializing");
	json_int_t batches = vp_client_int(json_object_get(s->vm, "stats"), "batches");
	size_t vcpus = json_array_size(json_object_get(counted, "vcpus"));

	if (!counted)
		return;
	printf("serialized by %s: ", vp_client_text(s->vm, "serializer"));
	print_counters(counted);
	if (batches && vcpus)
		printf("  for each batch and vCPU %.2f kicks\n",
		       (double)vp_client_int(counted, "kicks") / (double)batches / (double)vcpus);
}

static void print_text(const struct status *s, bool sites)
{
	const json_t *stats = json_object_get(s->vm, "stats"), *item;
	size_t i;

	printf("%s, ", vp_client_text(s->status, "status"));
	print_vcpus(s->cpus);
	if (s->pokes)
		printf("%zu poke(s) applied\n", vp_client_recorded(s->pokes));
	else
		printf("what is applied cannot be told: %s\n", s->no_pokes.text);
	json_array_foreach(s->pokes, i, item) print_poke(item, sites);
	if (s->hotfixes)
		vp_hotfixes_print(s->hotfixes);
	else if (!s->no_linux)
		printf("which hotfixes there are cannot be told: %s\n", s->no_hotfixes.text);
	if (!strcmp(vp_client_text(s->vm, "trap-route"), "none"))
		return; /* the counters are those of an engine that lives as long as the guest */
	printf("counted: ");
	print_counters(stats);
	printf("#BP exits (foreign: the guest's own int3s, given back to it): ");
	print_counters(json_object_get(stats, "bp-exits"));
	print_serializing(s);
}

static void print_history(const json_t *lines, bool json)
{
	if (json)
		vp_client_print(lines);
	else
		vp_history_print(lines);
}

static int show_history(struct vp_client *c, bool json)
{
	json_t *lines = NULL;
	int code = vp_client_call(c, "query-ledger", json_object(), &lines);

	if (!code)
		print_history(lines, json);
	json_decref(lines);
	return code;
}

/* The ledger of a VM that does not run; NULL: it does, or there is none. */
static json_t *history_of_the_dead(const char *target)
{
	char socket[256], state[256], path[512];
	struct vp_remote_config cfg;
	struct vp_qmp *q = NULL;

	if (vp_remote_is(target))
		return vp_client_remote_config("status", &cfg)
			       ? NULL
			       : vp_remote_history_off(target, &cfg);
	if (vp_socket_path(target, false, socket, sizeof(socket), NULL))
		return NULL;
	if (!vp_client_connect(socket, VP_CLIENT_TIMEOUT_MS, &q, NULL)) {
		vp_qmp_close(q);
		return NULL;
	}
	if (vp_state_dir(state, sizeof(state), NULL) ||
	    vp_ledger_path_for(state, socket, path, sizeof(path), NULL))
		return NULL;
	return vp_ledger_history_at(path);
}

static int print_dead(json_t *lines, bool json)
{
	vp_qmp_clean(lines);
	print_history(lines, json);
	json_decref(lines);
	return VP_EXIT_OK;
}

static int parse(int argc, char **argv, struct status_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("sites", &a->sites),
		VP_FLAG("history", &a->history),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 1);

	a->target = argv[optind];
	return code;
}

int vp_cmd_status(int argc, char **argv)
{
	struct status_args a = { 0 };
	struct status s = { 0 };
	struct vp_client c;
	json_t *dead;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	dead = a.history ? history_of_the_dead(a.target) : NULL;
	if (dead)
		return print_dead(dead, a.json);
	code = vp_client_open(&c, "status", a.target, VP_CLIENT_TIMEOUT_MS);
	if (!code && a.history)
		return vp_client_close(&c, show_history(&c, a.json));
	if (!code)
		code = query(&c, &s);
	if (!code && !a.json)
		code = vp_pokes_complete(&c, s.pokes);
	if (!code && a.json)
		print_json(&s);
	else if (!code)
		print_text(&s, a.sites);
	json_decref(s.status);
	json_decref(s.cpus);
	json_decref(s.pokes);
	json_decref(s.vm);
	json_decref(s.hotfixes);
	return vp_client_close(&c, code);
}
