/* SPDX-License-Identifier: Apache-2.0 */
#include "control/when.h"

#include <time.h>

static const char *format(const struct tm *tm, const char *how, char *text)
{
	/* No year before 1000: %F would give it fewer digits. */
	if (!tm || tm->tm_year < 1000 - 1900 || tm->tm_year > 9999 - 1900 ||
	    !strftime(text, VP_WHEN_TEXT, how, tm))
		text[0] = '\0';
	return text;
}

const char *vp_when_iso(int64_t when, char text[VP_WHEN_TEXT])
{
	time_t t = when;
	struct tm tm;

	return format(gmtime_r(&t, &tm), "%Y-%m-%dT%H:%M:%SZ", text);
}

const char *vp_when_local(int64_t when, char text[VP_WHEN_TEXT])
{
	time_t t = when;
	struct tm tm;

	tzset(); /* localtime_r() need not look at TZ */
	return format(localtime_r(&t, &tm), "%Y-%m-%d %H:%M:%S %z", text);
}
