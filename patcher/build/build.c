/* SPDX-License-Identifier: Apache-2.0 */
#include "build/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/check.h"
#include "build/kbuild.h"
#include "build/out.h"
#include "build/tidy.h"

#define OBJECT_MAX (16u << 20)

/* What the command line may bring into a shell or a makefile: plain words. */
static int check_words(const struct vp_build_opts *opts, struct vp_err *err)
{
	char cc[256];

	if (opts->module && !vp_kbuild_is_module(opts->module))
		return vp_err_set(err, -EINVAL, "%s is no name of a module", opts->module);
	if (!opts->cc)
		return 0;
	if (strlen(opts->cc) >= sizeof(cc))
		return vp_err_set(err, -EINVAL, "--cc is too long");
	strcpy(cc, opts->cc);
	for (char *blank = cc; (blank = strchr(blank, ' ')); blank++)
		*blank = '-';
	if (!vp_scratch_is_plain(cc) || opts->cc[0] == ' ' || opts->cc[0] == '-')
		return vp_err_set(err, -EINVAL,
				  "--cc %s: only letters, digits, /._+- and blanks may be in it",
				  opts->cc);
	return 0;
}

/* An input file or folder that is not as it should be, whatever is the matter with it. */
static int bad_input(int rc)
{
	return rc == -ENOMEM ? rc : -ENOEXEC;
}

static int find_source(struct vp_kbuild *k, struct vp_err *err)
{
	const char *source = k->opts->source;
	struct stat st;

	if (vp_kbuild_name(source, k->name, sizeof(k->name)))
		return vp_err_set(err, -ENOEXEC, "%s: not a C source: its name does not end in .c",
				  source);
	if (!realpath(source, k->source) || stat(k->source, &st))
		return vp_err_set(err, -ENOEXEC, "%s: %s", source, strerror(errno));
	if (!S_ISREG(st.st_mode) || access(k->source, R_OK))
		return vp_err_set(err, -ENOEXEC, "%s: not a file that can be read", source);
	return 0;
}

/* Look at the object, and give it out. */
static int finish(struct vp_kbuild *k, struct vp_build_report *report, struct vp_err *err)
{
	char path[VP_SCRATCH_PATH + 80];
	void *object = NULL;
	int rc;

	snprintf(path, sizeof(path), "%s/%s.hotfix", k->scratch.path, k->name);
	rc = vp_out_read(path, OBJECT_MAX, &object, &report->bytes, err);
	if (!rc)
		rc = vp_check(object, report->bytes, k->opts->source, &report->functions,
			      &report->blockers, err);
	if (!rc)
		rc = vp_out_write(k->opts->out, object, report->bytes, err);
	free(object);
	return rc;
}

static int build_in_scratch(struct vp_kbuild *k, struct vp_build_report *report, struct vp_err *err)
{
	int rc = vp_kbuild_prepare(k, err);

	if (!rc)
		rc = vp_kbuild_run(k, report, err);
	if (!rc)
		rc = vp_tidy(&k->scratch, k->name, k->headers->release, k->opts->stop_fd, err);
	return rc ? rc : finish(k, report, err);
}

int vp_build(const struct vp_build_opts *opts, struct vp_build_report *report, struct vp_err *err)
{
	struct vp_kbuild k = { .opts = opts, .headers = &report->headers };
	int rc;

	memset(report, 0, sizeof(*report));
	rc = check_words(opts, err);
	if (rc)
		return rc;
	if (opts->patch)
		return vp_build_patch(opts, report, err);
	rc = find_source(&k, err);
	if (!rc)
		rc = vp_headers_open(opts->headers, &report->headers, err);
	if (rc)
		return bad_input(rc);
	rc = build_in_scratch(&k, report, err);
	if (opts->keep)
		snprintf(report->scratch, sizeof(report->scratch), "%s", k.scratch.path);
	else
		vp_scratch_drop(&k.scratch);
	return rc;
}

void vp_build_report_free(struct vp_build_report *report)
{
	free(report->said);
	report->said = NULL;
	vp_blockers_free(&report->blockers);
	vp_blockers_free(&report->notes);
}
