/* SPDX-License-Identifier: Apache-2.0 */
#include "build/kbuild.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "build/embed.h"
#include "build/make.h"
#include "build/said.h"

#define MODULE_NAME_MAX 55 /* MODULE_NAME_LEN of the kernel */

static bool is_word(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && (isalnum((unsigned char)text[i]) || strchr("_-", text[i])))
		i++;
	return len && i == len && text[0] != '-';
}

int vp_kbuild_name(const char *source, char *name, size_t size)
{
	const char *slash = strrchr(source, '/'), *base = slash ? slash + 1 : source;
	size_t len = strlen(base);

	if (len < 3 || strcmp(base + len - 2, ".c"))
		return -EINVAL;
	len -= 2;
	if (!is_word(base, len) || len > MODULE_NAME_MAX || len >= size)
		snprintf(name, size, "hotfix");
	else
		snprintf(name, size, "%.*s", (int)len, base);
	return 0;
}

bool vp_kbuild_is_module(const char *name)
{
	return is_word(name, strlen(name)) && strlen(name) <= MODULE_NAME_MAX;
}

/*
 * The makefile. What it says beside the kernel's own flags:
 *
 * - objtool does not see the object: its tables (unwinding, return sites, call sites) are for a
 *   kernel that builds or loads it; our linker knows those sites by their relocations.
 * - our headers come before the kernel's of the same names.
 * - no list of entries for ftrace (-mrecord-mcount). The entries themselves stay: they become nops,
 *   so a later hotfix can redirect what this one brings.
 * - no room before the entries for call thunks: nobody would patch it.
 * - a section for each function and variable: what is said of a section is then said of them.
 * - no path of this machine, no debug information unless wanted: equal bytes on every build.
 */
static int write_makefile(const struct vp_kbuild *k, struct vp_err *err)
{
	const char *module = k->opts->module, *dir = k->scratch.path;
	char text[4096], made_of[256] = "";
	int n;

	if (module && strcmp(module, k->name))
		snprintf(made_of, sizeof(made_of), "%s-y := %s.o\n", module, k->name);
	n = snprintf(text, sizeof(text),
		     "obj-%s := %s.o\n"
		     "%s"
		     "OBJECT_FILES_NON_STANDARD := y\n"
		     "LINUXINCLUDE := -I%s/kernel $(LINUXINCLUDE)\n"
		     "CFLAGS_REMOVE_%s.o := -mrecord-mcount $(PADDING_CFLAGS)\n"
		     "CFLAGS_%s.o := -I%s/include -iquote %s/src -ffunction-sections "
		     "-fdata-sections %s -Wno-missing-prototypes -Wno-missing-declarations "
		     "-ffile-prefix-map=%s/src/= -ffile-prefix-map=%s/=\n",
		     module ? "m" : "y", module ? module : k->name, made_of, dir, k->name, k->name,
		     dir, dir, k->opts->keep_debug ? "-g" : "-g0", dir, dir);
	if (n < 0 || (size_t)n >= sizeof(text))
		return vp_err_set(err, -ENAMETOOLONG, "%s: too long", dir);
	return vp_scratch_write(&k->scratch, "Kbuild", text, (size_t)n, err);
}

/*
 * The user's source is reached by a link, the files that it includes by another to its folder: so
 * make never sees the user's paths, whatever is in them.
 */
static int link_source(const struct vp_kbuild *k, struct vp_err *err)
{
	char file[sizeof(k->name) + 4], copy[PATH_MAX];
	int rc;

	snprintf(file, sizeof(file), "%s.c", k->name);
	snprintf(copy, sizeof(copy), "%s", k->source);
	rc = vp_scratch_link(&k->scratch, file, k->source, err);
	return rc ? rc : vp_scratch_link(&k->scratch, "src", dirname(copy), err);
}

int vp_kbuild_prepare(struct vp_kbuild *k, struct vp_err *err)
{
	int rc = vp_scratch_make(&k->scratch, err);

	for (const struct vp_embedded *e = vp_embedded_headers; !rc && e->name; e++)
		rc = vp_scratch_write(&k->scratch, e->name, e->start, (size_t)(e->end - e->start),
				      err);
	if (!rc)
		rc = link_source(k, err);
	return rc ? rc : write_makefile(k, err);
}

static int hear(const struct vp_kbuild *k, const char *said, struct vp_build_report *report,
		struct vp_err *err)
{
	char file[2 * PATH_MAX], folder[PATH_MAX], own[PATH_MAX], dir[PATH_MAX];
	const char *slash = strrchr(k->opts->source, '/');
	const struct vp_said_name names[] = {
		{ file, k->opts->source },
		{ folder, dir },
		{ own, "" },
	};

	snprintf(file, sizeof(file), "%s/%s.c", k->scratch.path, k->name);
	snprintf(folder, sizeof(folder), "%s/src/", k->scratch.path);
	snprintf(own, sizeof(own), "%s/", k->scratch.path);
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash + 1 - k->opts->source) : 0,
		 k->opts->source);
	report->said = vp_said_for_user(said, names, sizeof(names) / sizeof(names[0]));
	return report->said ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
}

static int run_make(const struct vp_kbuild *k, const struct vp_make *make,
		    struct vp_build_report *report, struct vp_err *err)
{
	char goal[sizeof(k->name) + 4], *said;
	int status, rc;

	snprintf(goal, sizeof(goal), "%s.o", k->name);
	rc = vp_make_run(make, k->scratch.path, goal, NULL, &said, &status, err);
	if (rc)
		return rc;
	rc = hear(k, said, report, err);
	free(said);
	if (!rc && status)
		rc = vp_err_set(err, -EBADMSG, "%s does not compile", k->opts->source);
	return rc;
}

int vp_kbuild_run(const struct vp_kbuild *k, struct vp_build_report *report, struct vp_err *err)
{
	struct vp_make make = {
		.headers = k->headers,
		.scratch = &k->scratch,
		.cc_wanted = k->opts->cc,
		.stop_fd = k->opts->stop_fd,
	};
	int rc = vp_make_find(&make, report->compiler, sizeof(report->compiler), err);

	return rc ? rc : run_make(k, &make, report, err);
}
