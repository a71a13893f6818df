/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore [--quick] [--first] [--break WHAT] [SCENARIO...]: every interleaving of what a world
 * runs, within the bounds of each scenario. docs/exploration.md.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "search.h"

char violation[256];
char *notes;

#define NOTES_MAX 400u

void violate(const char *fmt, ...)
{
	va_list ap;

	if (violation[0])
		return;
	va_start(ap, fmt);
	vsnprintf(violation, sizeof(violation), fmt, ap);
	va_end(ap);
}

void note(const char *fmt, ...)
{
	va_list ap;
	size_t used;

	if (!notes)
		return;
	if (notes[0] && fmt[0] != ',')
		strcat(notes, "; ");
	used = strlen(notes);
	va_start(ap, fmt);
	vsnprintf(notes + used, NOTES_MAX - used, fmt, ap);
	va_end(ap);
}

struct options {
	bool quick, first;
	char **names;
	int nnames;
};

static bool wanted(const struct scenario_text *s, const struct options *o)
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

static bool explore(size_t i, struct outcome *total)
{
	const struct scenario_text text = world_scenario(i), *s = &text;
	struct outcome o = search(i, true);
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
		else if (strcmp(argv[i], "--break") || ++i == argc || !world_break(argv[i]))
			return usage();
	}
	o.names = argv + i;
	o.nnames = argc - i;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t k = 0; k < nscenarios && !(bad && o.first); k++) {
		const struct scenario_text s = world_scenario(k);

		if (!wanted(&s, &o))
			continue;
		ran++;
		bad += !explore(k, &total);
	}
	if (!ran || (o.nnames && ran != o.nnames))
		return usage();
	number(schedules, sizeof(schedules), total.schedules);
	printf("schedules: %s\nstates: %zu\n", schedules, total.states);
	return bad ? 1 : 0;
}
