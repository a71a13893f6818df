/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bench has found, as JSON: the one form in which figures go from who measures to who shows
 * them. docs/performance.md has it for readers.
 *
 *	{"vmpoke-bench": 1,
 *	 "environments": [{"name", "what", "machine", "command", "runs", "load", "notes": [TEXT]}],
 *	 "figures": [{"env", "group", "way", "x": NUMBER or "case": TEXT,
 *		      "n", "min", "median", "p90", "p99", "max"}]}
 *
 * A figure may have "samples" (numbers) in the place of the last six.
 */
#ifndef VP_CLI_BENCH_DOC_H
#define VP_CLI_BENCH_DOC_H

#include <jansson.h>
#include <vmpoke/types.h>

#include "cli/bench_stats.h"

/* What belongs into one table and one plot. */
struct vp_bench_group {
	const char *id, *title;
	const char *x; /* what grows from left to right; "": cases that are named */
	const char *unit;
	bool steps;	   /* x by what it is times as large */
	bool linear;	   /* the value from 0 to 100; else by what it is times as large */
	const char *means; /* what a figure of it is, in a sentence */
};

/* By id; NULL: there is none. The table of all ends with a NULL id. */
extern const struct vp_bench_group vp_bench_groups[];
const struct vp_bench_group *vp_bench_group(const char *id);

json_t *vp_bench_doc_new(void);

/* An environment; the machine and its load are those of this moment. @runs: how often. */
void vp_bench_doc_env(json_t *doc, const char *name, const char *what, const char *command,
		      unsigned int runs);

/* A line that belongs to the newest environment: what was left out, and why. */
void vp_bench_doc_note(json_t *doc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * A figure of the newest environment, of samples that are freed. Nothing for none. @name is a case,
 * or NULL: then @x is the place.
 */
void vp_bench_doc_add(json_t *doc, const char *group, const char *way, double x, const char *name,
		      struct vp_samples *samples);

/*
 * Take over all of @text, any number of such documents one behind the other; @what names it.
 * Environments of one name get numbers. -EINVAL: it is none.
 */
int vp_bench_doc_load(json_t *doc, const char *text, size_t len, const char *what,
		      struct vp_err *err);

/* A member of a figure: a number, or NAN. */
double vp_bench_number(const json_t *figure, const char *key);

/* The figure of that environment, group, way and place (@x, or the case @name), or NULL. */
const json_t *vp_bench_find(const json_t *doc, const char *env, const char *group, const char *way,
			    double x, const char *name);

/*
 * What one is compared to another: [{"env", "what", "ratio"}], for all that are in @doc. Owned by
 * the caller.
 */
json_t *vp_bench_ratios(const json_t *doc);

#endif /* VP_CLI_BENCH_DOC_H */
