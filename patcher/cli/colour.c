/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/colour.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NO_COLOR counts when it is not empty (https://no-color.org). */
static bool is_wanted(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && term && *term && strcmp(term, "dumb") != 0 && isatty(STDOUT_FILENO);
}

const char *vp_colour(enum vp_colour colour)
{
	if (!is_wanted())
		return "";
	return colour == VP_COLOUR_BAD ? "\033[31m" : "\033[36m";
}

const char *vp_colour_end(void)
{
	return is_wanted() ? "\033[0m" : "";
}
