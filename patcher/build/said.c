/* SPDX-License-Identifier: Apache-2.0 */
#include "build/said.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* A line that tells nothing of the source. */
static bool is_chatter(const char *line)
{
	const char *rest;

	if (begins(line, "make: Entering directory") || begins(line, "make: Leaving directory"))
		return true;
	if (begins(line, "make[") && (rest = strstr(line, "]: ")) &&
	    (begins(rest, "]: Entering directory") || begins(rest, "]: Leaving directory")))
		return true;
	/* "make[1]: *** [...Makefile.build:250: fix.o] Error 1": the compiler said why. */
	if (begins(line, "make") && strstr(line, ": *** [") && strstr(line, "] Error "))
		return true;
	return begins(line, "  CC ") || begins(line, "  CC [M] ");
}

/* How many lines from here on are of kbuild's own tools: BTF is made of no hotfix. */
static int foreign_lines(const char *line)
{
	return begins(line, "warning: pahole version differs") ? 3 : 0;
}

/* Write @line with the names of the user. */
static void put_line(FILE *to, const char *line, const struct vp_said_name *names, size_t n)
{
	while (*line) {
		size_t i = 0;

		while (i < n && !begins(line, names[i].ours))
			i++;
		if (i < n) {
			fputs(names[i].theirs, to);
			line += strlen(names[i].ours);
		} else {
			fputc(*line++, to);
		}
	}
}

/* A tab is no harm, and stands in quoted source. */
static void make_printable(char *line)
{
	for (char *p = line; (p = strchr(p, '\t')); p++)
		*p = ' ';
	vp_text_clean(line);
}

char *vp_said_for_user(const char *said, const struct vp_said_name *names, size_t n)
{
	char *copy = strdup(said), *out = NULL, *rest = copy, *line;
	size_t size;
	int skip = 0;
	FILE *to = copy ? open_memstream(&out, &size) : NULL;

	while (to && (line = strsep(&rest, "\n"))) {
		if (!skip)
			skip = foreign_lines(line);
		if (skip && skip--)
			continue;
		if ((!*line && !rest) || is_chatter(line))
			continue;
		make_printable(line);
		put_line(to, line, names, n);
		fputc('\n', to);
	}
	free(copy);
	if (to && fclose(to)) {
		free(out);
		out = NULL;
	}
	return to ? out : NULL;
}
