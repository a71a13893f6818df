/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore [--quick] [--first] [--break WHAT] [SCENARIO...]: every interleaving of the engine with
 * vCPUs, within the bounds of each scenario. docs/exploration.md.
 */
#include <stdio.h>
#include <string.h>

#include "world.h"

static const struct {
	const char *name;
	enum broken what;
} breakable[] = {
	{ "topology", BREAK_TOPOLOGY }, { "arm", BREAK_ARM },	      { "entry", BREAK_ENTRY },
	{ "sample", BREAK_SAMPLE },	{ "quiesce", BREAK_QUIESCE },
};

struct options {
	bool quick, first;
	char **names;
	int nnames;
};

static bool wanted(const struct scenario *s, const struct options *o)
{
	for (int i = 0; i < o->nnames; i++)
		if (!strcmp(s->name, o->names[i]))
			return true;
	return !o->nnames && (s->quick || !o->quick);
}

static void number(char *text, size_t size, long double n)
{
	snprintf(text, size, n < 1e15L ? "%.0Lf" : "%.3Le", n);
}

static bool explore(const struct scenario *s, struct outcome *total)
{
	struct outcome o = search(s, true);
	char schedules[40];

	if (o.steps) {
		printf("not ok - %s (%s): %s; after %u steps, states: %zu\n", s->name, s->what,
		       violation, o.steps, o.states);
		return false;
	}
	number(schedules, sizeof(schedules), o.schedules);
	printf("ok - %s (%s): schedules: %s, states: %zu, transitions: %zu, longest: %u", s->name,
	       s->what, schedules, o.states, o.transitions, o.longest);
	if (o.cut)
		printf(", beyond help: %zu", o.cut);
	printf("\n");
	total->schedules += o.schedules;
	total->states += o.states;
	total->transitions += o.transitions;
	return true;
}

static int usage(void)
{
	fprintf(stderr, "usage: explore [--quick] [--first] [--break WHAT] [SCENARIO...]\n");
	return 2;
}

static bool break_target(const char *what)
{
	for (size_t i = 0; i < sizeof(breakable) / sizeof(breakable[0]); i++)
		if (what && !strcmp(what, breakable[i].name))
			broken |= breakable[i].what;
	return broken;
}

int main(int argc, char **argv)
{
	struct outcome total = { 0 };
	struct options o = { 0 };
	char schedules[40];
	int ran = 0, bad = 0, i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--quick"))
			o.quick = true;
		else if (!strcmp(argv[i], "--first"))
			o.first = true;
		else if (strcmp(argv[i], "--break") || !break_target(argv[++i]))
			return usage();
	}
	o.names = argv + i;
	o.nnames = argc - i;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t k = 0; k < nscenarios && !(bad && o.first); k++) {
		if (!wanted(&scenarios[k], &o))
			continue;
		ran++;
		bad += !explore(&scenarios[k], &total);
	}
	if (!ran || (o.nnames && ran != o.nnames))
		return usage();
	number(schedules, sizeof(schedules), total.schedules);
	printf("schedules: %s\nstates: %zu\n", schedules, total.states);
	return bad ? 1 : 0;
}
