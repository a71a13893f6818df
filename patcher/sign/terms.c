/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/terms.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* --- what words say ------------------------------------------------------------------- */

static bool all_digits(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isdigit((unsigned char)text[i]))
			return false;
	return len > 0;
}

static int number(const char *text, size_t len)
{
	int value = 0;

	for (size_t i = 0; i < len; i++)
		value = 10 * value + (text[i] - '0');
	return value;
}

int vp_terms_day(const char *day, size_t len, int64_t *ends)
{
	struct tm tm = { 0 }, again;
	time_t at;

	if (len != strlen("YYYY-MM-DD") || day[4] != '-' || day[7] != '-' || !all_digits(day, 4) ||
	    !all_digits(day + 5, 2) || !all_digits(day + 8, 2) || number(day, 4) < 1970)
		return -EINVAL;
	tm.tm_year = number(day, 4) - 1900;
	tm.tm_mon = number(day + 5, 2) - 1;
	tm.tm_mday = number(day + 8, 2);
	again = tm;
	at = timegm(&again);
	/* timegm() makes the 31st of April the first of May. */
	if (again.tm_mon != tm.tm_mon || again.tm_mday != tm.tm_mday)
		return -EINVAL;
	*ends = (int64_t)at + 24 * 60 * 60;
	return 0;
}

/* The value of @word if it is "@name:VALUE"; it must be that if it begins as @name does. */
static bool is_term(const char *word, size_t len, const char *name, const char **value, size_t *n)
{
	size_t prefix = strlen(name);

	*value = NULL;
	if (len < prefix || strncasecmp(word, name, prefix) != 0)
		return false;
	if (!strncmp(word, name, prefix) && len > prefix && word[prefix] == ':') {
		*value = word + prefix + 1;
		*n = len - prefix - 1;
	}
	return true;
}

static int take_word(const char *word, size_t len, struct vp_terms *t, struct vp_err *err)
{
	const char *value;
	size_t n = 0;

	if (is_term(word, len, "timestamp", &value, &n)) {
		if (!value || !all_digits(value, n) || n > 12 || t->made)
			return vp_err_set(err, -ENOEXEC,
					  "its trusted comment must have one timestamp:SECONDS");
		for (size_t i = 0; i < n; i++)
			t->made = 10 * t->made + (value[i] - '0');
	} else if (is_term(word, len, "expire", &value, &n)) {
		if (!is_term(word, len, "expires", &value, &n) || !value || t->ends ||
		    vp_terms_day(value, n, &t->ends))
			return vp_err_set(err, -ENOEXEC,
					  "its trusted comment must have one expires:YYYY-MM-DD");
		snprintf(t->ends_text, sizeof(t->ends_text), "%.*s", (int)n, value);
	} else if (is_term(word, len, "file", &value, &n) && value && !t->file[0]) {
		snprintf(t->file, sizeof(t->file), "%.*s", (int)n, value);
	}
	return 0;
}

int vp_terms_parse(const char *comment, struct vp_terms *out, struct vp_err *err)
{
	int rc = 0;

	*out = (struct vp_terms){ 0 };
	while (*comment && !rc) {
		size_t len = strcspn(comment, " \t");

		rc = take_word(comment, len, out, err);
		comment += len;
		comment += strspn(comment, " \t");
	}
	return rc;
}

int vp_terms_check(const struct vp_terms *t, int64_t now, struct vp_err *err)
{
	if (t->made && now + VP_TERMS_SKEW < t->made)
		return vp_err_set(err, -EKEYREJECTED,
				  "its signature is of a later time than this host's clock tells: "
				  "set the clock");
	if (t->ends && now >= t->ends)
		return vp_err_set(err, -EKEYREJECTED, "its signature has expired on %s",
				  t->ends_text);
	return 0;
}
