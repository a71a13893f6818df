/* SPDX-License-Identifier: Apache-2.0 */
/* A hotfix object of a diff: the stages, from the text to the object. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmpoke/hotfix.h>

#include "build/build.h"
#include "build/check.h"
#include "build/embed.h"
#include "build/exports.h"
#include "build/includers.h"
#include "build/lines.h"
#include "build/out.h"
#include "build/twice.h"
#include "diff/emit.h"

/* A source takes some seconds. */
#define SOURCES_MAX 80u

struct changed {
	struct vp_compiled compiled;
	struct vp_unit units[VP_PASSES];
	struct vp_source source;
	struct vp_keep keep;
	struct vp_lines lines;
};

struct job {
	const struct vp_build_opts *opts;
	struct vp_build_report *report;
	struct vp_patch patch;
	char source[PATH_MAX];
	char **texts; /* by file of the patch: as it is after */
	size_t *lens;
	struct vp_scratch scratch;
	struct vp_tree tree;
	struct vp_make make;
	struct changed *changed; /* by the first n of files: the sources */
	size_t n;
	struct vp_includers files; /* and behind them the headers of the diff */
	struct vp_exports exports;
};

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), m = strlen(with);

	return n > m && !strcmp(text + n - m, with);
}

/* --- the diff -------------------------------------------------------------------------------- */

/* What no kernel is built of. */
static bool is_beside(const char *path)
{
	static const char *const folders[] = { "Documentation/", "tools/", "samples/",
					       "LICENSES/" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!strncmp(path, folders[i], strlen(folders[i])))
			return true;
	return !strcmp(path, "MAINTAINERS") || !strcmp(path, "CREDITS");
}

/* Is it a change that a hotfix can be made of, as far as its name tells? */
static int judge(const struct job *j, const struct vp_patch_file *f, struct vp_err *err)
{
	const char *why = NULL;

	if (is_beside(f->path)) {
		vp_blockers_add(&j->report->notes, "%.150s: left out: no code of the kernel",
				f->path);
		return 0;
	}
	if (f->is_gone)
		why = "it takes a file away, whose code the kernel has";
	else if (!ends(f->path, ".c") && !ends(f->path, ".h"))
		why = "neither a C source nor a header";
	else if (f->is_new && ends(f->path, ".c"))
		why = "a new source, which no makefile of this kernel compiles";
	else if (!strchr(f->path, '/'))
		why = "no source of a kernel stands there";
	return why ? vp_err_set(err, -EOPNOTSUPP, "%.120s: %s", f->path, why) : 0;
}

static int apply_file(struct job *j, size_t i, struct vp_err *err)
{
	const struct vp_patch_file *f = &j->patch.files[i];
	char path[PATH_MAX + VP_PATCH_PATH + 2];
	void *data = NULL;
	size_t len = 0;
	int rc = judge(j, f, err);

	if (rc || is_beside(f->path))
		return rc;
	snprintf(path, sizeof(path), "%s/%s", j->source, f->path);
	if (!f->is_new) {
		rc = vp_out_read(path, VP_PATCH_MAX, &data, &len, err);
		if (rc)
			return vp_err_set(err, -ENOEXEC,
					  "the diff does not apply: %.150s is not in this source",
					  f->path);
	}
	rc = vp_patch_apply(&j->patch, f, data ? data : "", len, &j->texts[i], &j->lens[i], NULL,
			    err);
	free(data);
	return rc;
}

static int read_patch(struct job *j, struct vp_err *err)
{
	void *text = NULL;
	size_t len;
	int rc = vp_out_read(j->opts->patch, VP_PATCH_MAX, &text, &len, err);

	if (rc)
		return rc == -ENOMEM ? rc : -ENOEXEC;
	rc = vp_patch_parse(text, len, j->opts->patch, &j->patch, err);
	free(text);
	if (rc)
		return rc;
	j->texts = calloc(j->patch.nfiles, sizeof(*j->texts));
	j->lens = calloc(j->patch.nfiles, sizeof(*j->lens));
	if (!j->texts || !j->lens)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < j->patch.nfiles && !rc; i++)
		rc = apply_file(j, i, err);
	return rc;
}

/* --- which sources ------------------------------------------------------------------------------
 */

/* The paths of the diff's files that end so. */
static int list_files(const struct job *j, const char *with, struct vp_includers *out,
		      struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < j->patch.nfiles && !rc; i++)
		if (j->texts[i] && ends(j->patch.files[i].path, with))
			rc = vp_includers_add(out, j->patch.files[i].path, err);
	return rc;
}

/*
 * The sources of the diff, those that take one of these in, and those that take in one of its
 * headers: code of them may change, too.
 */
static int find_sources(struct job *j, struct vp_err *err)
{
	struct vp_includers headers = { .n = 0 };
	int stop = j->opts->stop_fd, rc = list_files(j, ".c", &j->files, err);

	if (!rc && j->files.n)
		rc = vp_includers_find(j->source, (const char(*)[VP_PATCH_PATH])j->files.paths,
				       j->files.n, true, SOURCES_MAX, stop, &j->files, err);
	if (!rc)
		rc = list_files(j, ".h", &headers, err);
	if (!rc && headers.n)
		rc = vp_includers_find(j->source, (const char(*)[VP_PATCH_PATH])headers.paths,
				       headers.n, false, SOURCES_MAX, stop, &j->files, err);
	j->n = j->files.n;
	if (!rc)
		rc = list_files(j, ".h", &j->files, err);
	free(headers.paths);
	return rc == -E2BIG ? -EOPNOTSUPP : rc;
}

/* Which lines of each source of the diff only move. */
static int map_lines(struct job *j, struct vp_err *err)
{
	int rc = 0;

	j->changed = calloc(j->n + 1, sizeof(*j->changed));
	if (!j->changed)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < j->n; i++)
		j->changed[i].compiled.path = j->files.paths[i];
	for (size_t i = 0; i < j->patch.nfiles && !rc; i++) {
		const struct vp_patch_file *f = &j->patch.files[i];
		char path[PATH_MAX + VP_PATCH_PATH + 2];
		size_t at = 0, len;
		void *old;

		while (at < j->n && strcmp(j->files.paths[at], f->path))
			at++;
		if (at == j->n)
			continue;
		snprintf(path, sizeof(path), "%s/%s", j->source, f->path);
		rc = vp_out_read(path, VP_PATCH_MAX, &old, &len, err);
		if (!rc)
			rc = vp_lines_make(&j->changed[at].lines, &j->patch, f, old, len, err);
		free(rc ? NULL : old);
	}
	return rc;
}

/* --- compiling ---------------------------------------------------------------------------------
 */

static int lay_out(struct job *j, struct vp_err *err)
{
	int rc = vp_scratch_make(&j->scratch, err);

	j->tree = (struct vp_tree){ j->source, &j->scratch };
	for (const struct vp_embedded *e = vp_embedded_headers; !rc && e->name; e++)
		rc = vp_scratch_write(&j->scratch, e->name, e->start, (size_t)(e->end - e->start),
				      err);
	return rc ? rc
		  : vp_tree_make(&j->tree, (const char(*)[VP_PATCH_PATH])j->files.paths, j->files.n,
				 j->opts->stop_fd, err);
}

/* Of sources that only take in a header of the diff most do not change. */
static bool is_due(const struct changed *c, enum vp_pass pass)
{
	if (pass == VP_PASS_WHOLE)
		return c->compiled.built && c->lines.to;
	return pass == VP_PASS_CODE ? vp_twice_differs(&c->compiled) : c->compiled.built;
}

/*
 * kbuild has no way to it. Elsewhere that is an answer: the configuration has not switched it on.
 * Some folders of arch/ are built by makefiles of their own (vdso, boot).
 */
static int leave_out(struct job *j, const struct changed *c, struct vp_err *err)
{
	if (c->lines.to && !strncmp(c->compiled.path, "arch/", strlen("arch/")))
		return vp_err_set(err, -EOPNOTSUPP,
				  "%.150s: whether this kernel is built with it cannot be told",
				  c->compiled.path);
	vp_blockers_add(&j->report->notes, "%.150s: left out: this kernel is built without it",
			c->compiled.path);
	return 0;
}

static int compile_all(struct job *j, enum vp_pass pass, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < j->n && !rc; i++) {
		struct vp_compiled *c = &j->changed[i].compiled;

		if (pass != VP_PASS_BEFORE && !is_due(&j->changed[i], pass))
			continue;
		rc = vp_twice_compile(c, pass, &j->make, &j->report->said, err);
		if (!rc && !c->built)
			rc = leave_out(j, &j->changed[i], err);
	}
	return rc;
}

static int check_reads(const struct job *j, const struct vp_compiled *c, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < j->patch.nfiles && !rc; i++)
		if (j->texts[i])
			rc = vp_twice_reads(c, &j->make, j->patch.files[i].path, err);
	return rc;
}

static int compile(struct job *j, struct vp_err *err)
{
	int rc = lay_out(j, err);

	if (!rc)
		rc = compile_all(j, VP_PASS_BEFORE, err);
	if (!rc)
		rc = compile_all(j, VP_PASS_WHOLE, err);
	for (size_t i = 0; i < j->patch.nfiles && !rc; i++)
		if (j->texts[i])
			rc = vp_tree_replace(&j->tree, j->patch.files[i].path, j->texts[i],
					     j->lens[i], err);
	if (!rc)
		rc = compile_all(j, VP_PASS_AFTER, err);
	for (size_t i = 0; i < j->n && !rc; i++)
		if (j->changed[i].compiled.built)
			rc = check_reads(j, &j->changed[i].compiled, err);
	return rc ? rc : compile_all(j, VP_PASS_CODE, err);
}

/* --- deciding --------------------------------------------------------------------------------- */

struct telling {
	const struct vp_build_opts *opts;
	const char *path;
};

static void tell_why(void *arg, const struct vp_why *w)
{
	const struct telling *t = arg;

	t->opts->why(t->opts->arg, t->path, w);
}

static int decide(struct job *j, struct changed *c, struct vp_err *err)
{
	struct telling telling = { j->opts, c->compiled.path };
	char structure[128];
	int rc = 0;

	if (vp_twice_structure(&c->compiled, structure, sizeof(structure)))
		vp_blockers_add(
			&j->report->blockers,
			"struct %.80s changes: what the kernel has made of it already is as "
			"before",
			structure);
	for (size_t i = 0; i < VP_PASSES && !rc; i++)
		if (c->compiled.objects[i])
			rc = vp_unit_open(c->compiled.objects[i], &c->units[i], err);
	if (rc)
		return rc;
	c->source = (struct vp_source){
		.path = c->compiled.path,
		.module = c->compiled.module[0] ? c->compiled.module : NULL,
		.before = &c->units[VP_PASS_BEFORE],
		.after = &c->units[VP_PASS_AFTER],
		.code = &c->units[VP_PASS_CODE],
		.lines = { c->lines.to ? vp_lines_moved : NULL, &c->lines },
		.in_header = vp_twice_in_header,
		.arg = &c->compiled,
		.traced = true,
	};
	rc = vp_keep_open(&c->source, &c->keep, &j->report->blockers, &j->report->notes, err);
	if (!rc && j->opts->why)
		vp_why_each(&c->keep, tell_why, &telling);
	return rc;
}

static const char *exported_by(void *arg, const char *symbol, bool *exported)
{
	return vp_exports_find(arg, symbol, exported);
}

static int emit(struct job *j, struct vp_err *err)
{
	struct vp_build_report *report = j->report;
	struct vp_emit_source *sources = calloc(j->n + 1, sizeof(*sources));
	const struct vp_emit_about about = {
		.name = j->opts->name,
		.version = "1",
		.description = j->patch.subject[0] ? j->patch.subject : "made of a diff",
		.release = report->headers.release,
		.exported_by = exported_by,
		.arg = &j->exports,
	};
	void *image = NULL;
	size_t n = 0;
	int rc = sources ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < j->n && !rc; i++)
		if (j->changed[i].compiled.built && j->changed[i].keep.replaces)
			sources[n++] =
				(struct vp_emit_source){ &j->changed[i].keep,
							 &j->changed[i].units[VP_PASS_WHOLE] };
	if (!rc && !n)
		rc = vp_err_set(err, -ENODATA,
				"%.100s: nothing to do: no code that this kernel runs changes",
				j->opts->patch);
	if (!rc)
		rc = vp_emit(sources, n, &about, &image, &report->bytes, err);
	if (!rc)
		rc = vp_check(image, report->bytes, j->opts->patch, &report->functions,
			      &report->blockers, err);
	if (!rc)
		rc = vp_out_write(j->opts->out, image, report->bytes, err);
	free(image);
	free(sources);
	return rc;
}

static int make_object(struct job *j, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < j->n && !rc; i++)
		if (vp_twice_differs(&j->changed[i].compiled))
			rc = decide(j, &j->changed[i], err);
	if (!rc && j->report->blockers.n)
		rc = vp_err_set(err, -EOPNOTSUPP, "%.200s", j->report->blockers.list[0].text);
	if (!rc)
		rc = vp_exports_read(&j->exports, j->report->headers.dir, err);
	return rc ? rc : emit(j, err);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void free_job(struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		struct changed *c = &j->changed[i];

		vp_keep_close(&c->keep);
		for (size_t p = 0; p < VP_PASSES; p++)
			vp_unit_close(&c->units[p]);
		vp_twice_free(&c->compiled);
		vp_lines_free(&c->lines);
	}
	for (size_t i = 0; j->texts && i < j->patch.nfiles; i++)
		free(j->texts[i]);
	free(j->texts);
	free(j->lens);
	free(j->changed);
	free(j->files.paths);
	vp_exports_free(&j->exports);
	vp_patch_free(&j->patch);
	if (!j->opts->keep)
		vp_scratch_drop(&j->scratch);
}

/* All that can be seen without a compiler is seen before there is a folder. */
static int prepare(struct job *j, struct vp_err *err)
{
	const struct vp_build_opts *o = j->opts;
	int rc;

	if (!realpath(o->source, j->source))
		return vp_err_set(err, -ENOEXEC, "%.150s: %s", o->source, strerror(errno));
	rc = vp_headers_open(o->headers ? o->headers : o->source, &j->report->headers, err);
	if (!rc)
		rc = vp_tree_check(j->source, &j->report->headers, err);
	if (rc)
		return rc == -ENOMEM ? rc : -ENOEXEC;
	j->make = (struct vp_make){
		.headers = &j->report->headers,
		.scratch = &j->scratch,
		.cc_wanted = o->cc,
		.stop_fd = o->stop_fd,
	};
	rc = read_patch(j, err);
	if (!rc)
		rc = find_sources(j, err);
	return rc ? rc : map_lines(j, err);
}

int vp_build_patch(const struct vp_build_opts *opts, struct vp_build_report *report,
		   struct vp_err *err)
{
	struct job j = { .opts = opts, .report = report };
	int rc = prepare(&j, err);

	if (!rc && !j.n)
		rc = vp_err_set(err, -ENODATA, "%.100s: nothing to do: it changes no C source",
				opts->patch);
	if (!rc)
		rc = vp_make_find(&j.make, report->compiler, sizeof(report->compiler), err);
	if (!rc)
		rc = compile(&j, err);
	if (!rc)
		rc = make_object(&j, err);
	if (opts->keep)
		snprintf(report->scratch, sizeof(report->scratch), "%s", j.scratch.path);
	free_job(&j);
	return rc;
}
