/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/tell.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/progress.h"

struct vp_common vp_common;

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* --- what is asked of whom ------------------------------------------------------------ */

static int64_t asked_at; /* 0: no line is begun */

static void end_line(const char *text)
{
	if (asked_at)
		fprintf(stderr, "%s\n", text);
	asked_at = 0;
}

static void asked(const char *whom, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "%.60s: %.180s", whom, what);
	vp_text_clean(text);
	end_line("");
	fprintf(stderr, "vmpoke: %s", text);
	asked_at = now_us();
}

static void answered(const char *whom)
{
	char text[32];

	(void)whom;
	snprintf(text, sizeof(text), "  %.3f ms", (double)(now_us() - asked_at) / 1000);
	end_line(text);
}

void vp_common_begin(void)
{
	static const struct vp_listener questions = { .asked = asked, .answered = answered };
	static const struct vp_listener progress = { .progress = vp_progress_show };

	vp_listen(vp_common.verbose ? &questions : vp_common.quiet ? NULL : &progress);
}

void vp_common_note(const char *cmd, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (vp_common.quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vp_cmd_fail(cmd, 0, "note: %s", text);
}

void vp_common_hint(const char *fmt, ...)
{
	va_list ap;

	if (vp_common.quiet)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

int vp_common_target(const char *cmd, char **target)
{
	static const char domain[] = "libvirt:";
	const char *name = *target;

	if (!vp_common.connect)
		return -1;
	if (!strncmp(name, domain, strlen(domain)))
		name += strlen(domain);
	/* With a colon in it the name would begin elsewhere (remote.h). */
	if (strpbrk(name, ":/"))
		return vp_cmd_fail(
			cmd, VP_EXIT_USAGE,
			"--connect goes with a domain of libvirt, and %s is none, or has a "
			"colon in its name: take its UUID then",
			*target);
	if (asprintf(target, "libvirt+%s:%s", vp_common.connect, name) < 0)
		return vp_cmd_fail(cmd, VP_EXIT_HOST, "out of memory");
	return -1;
}
