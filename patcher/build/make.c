/* SPDX-License-Identifier: Apache-2.0 */
#include "build/make.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "build/run.h"

/* The compiler's first word: "ccache gcc-12" is two programs, the first is looked for. */
static int find_programs(struct vp_make *m, struct vp_err *err)
{
	char word[256];

	if (m->cc_wanted)
		snprintf(m->cc, sizeof(m->cc), "%s", m->cc_wanted);
	else
		vp_headers_program(m->headers, m->cc, sizeof(m->cc));
	if (!*m->cc)
		return vp_err_set(err, -ENODEV, "%s does not say what compiler built it: give --cc",
				  m->headers->dir);
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(m->cc, " "), m->cc);
	if (!vp_run_finds(word))
		return vp_err_set(err, -ENODEV,
				  m->cc_wanted ? "there is no compiler %s"
					       : "there is no %s, which built this kernel: install "
						 "it, or give --cc",
				  word);
	if (!vp_run_finds("make"))
		return vp_err_set(err, -ENODEV, "there is no make: install it");
	return 0;
}

/* The first line of `CC --version`. */
static int ask_compiler(const struct vp_make *m, char *compiler, size_t size, struct vp_err *err)
{
	char command[512];
	char *argv[] = { "sh", "-c", command, NULL }, *said;
	struct vp_run run = {
		.argv = argv,
		.tmpdir = m->scratch->path,
		.stop_fd = m->stop_fd,
	};
	int status, rc;

	snprintf(command, sizeof(command), "exec %s --version", m->cc); /* plain words: build.c */
	rc = vp_run(&run, &said, &status, err);
	if (rc)
		return rc;
	said[strcspn(said, "\n")] = '\0';
	vp_text_copy(compiler, size, said);
	if (status)
		rc = vp_err_set(err, -ENODEV, "%s --version fails: %s", m->cc, compiler);
	free(said);
	return rc;
}

int vp_make_find(struct vp_make *m, char *compiler, size_t size, struct vp_err *err)
{
	int rc = find_programs(m, err);

	return rc ? rc : ask_compiler(m, compiler, size, err);
}

int vp_make_run(const struct vp_make *m, const char *folder, const char *goal, const char *variable,
		char **said, int *status, struct vp_err *err)
{
	char makefile[PATH_MAX + 8], in[PATH_MAX + 16], with[300], output[PATH_MAX + 16],
		dir[PATH_MAX], what[512], more[256];
	char *argv[] = { "make", "-C", dir, in, with, output, what, NULL, NULL, NULL };
	struct vp_run run = {
		.argv = argv,
		.tmpdir = m->scratch->path,
		.stop_fd = m->stop_fd,
	};
	size_t n = 7;

	snprintf(dir, sizeof(dir), "%s", m->headers->dir);
	snprintf(in, sizeof(in), "M=%s", folder);
	snprintf(with, sizeof(with), "CC=%s", m->cc);
	snprintf(output, sizeof(output), "KBUILD_OUTPUT=%s", m->headers->dir);
	snprintf(what, sizeof(what), "%s", goal);
	snprintf(makefile, sizeof(makefile), "-f%s", m->headers->makefile);
	snprintf(more, sizeof(more), "%s", variable ? variable : "");
	if (m->headers->makefile[0])
		argv[n++] = makefile;
	if (variable)
		argv[n] = more;
	return vp_run(&run, said, status, err);
}
