/* SPDX-License-Identifier: Apache-2.0 */
/* What the human monitor prints in a line or a few. */
#include "target/hmp.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vp_hmp_line(const char *text, char *out, size_t size)
{
	size_t n = 0;

	text += strspn(text, " \t\r\n");
	for (; *text && *text != '\r' && *text != '\n' && n < size - 1; text++)
		out[n++] = *text;
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = 0;
	vp_text_clean(out);
}

int vp_hmp_unknown(const char *command, const char *text, struct vp_err *err)
{
	char line[72];

	vp_hmp_line(text, line, sizeof(line));
	return vp_err_set(err, -EPROTO,
			  "QEMU's monitor answers '%.40s' with what vmpoke does not know: '%s'",
			  command, line);
}

/* --- lines --------------------------------------------------------------------- */

/*
 * The next line that is not empty: its start; @text moves behind it. NULL: none is left. @len does
 * not count blanks at its end.
 */
static const char *next_line(const char **text, size_t *len)
{
	const char *line = *text + strspn(*text, "\r\n");

	*len = strcspn(line, "\r\n");
	*text = line + *len;
	if (!*len)
		return NULL;
	while (*len && (line[*len - 1] == ' ' || line[*len - 1] == '\t'))
		--*len;
	return line;
}

/* Does it begin so? Then what follows is @rest. */
static bool after(const char *line, size_t len, const char *prefix, const char **rest, size_t *left)
{
	size_t n = strlen(prefix);

	if (len < n || memcmp(line, prefix, n))
		return false;
	*rest = line + n;
	*left = len - n;
	return true;
}

static bool equals(const char *line, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(line, text, len);
}

/* A word of a QMP enumeration: small letters and '-'. Its length, 0: there is none. */
static size_t word(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && (islower((unsigned char)line[n]) || (n && line[n] == '-')))
		n++;
	return n;
}

static bool copy_word(const char *line, size_t len, char *out, size_t size)
{
	if (!len || len >= size)
		return false;
	memcpy(out, line, len);
	out[len] = 0;
	return true;
}

/* --- one line each -------------------------------------------------------------- */

int vp_hmp_value(const char *command, const char *text, char *out, size_t size, struct vp_err *err)
{
	static const char unknown[] = "unknown command";
	const char *at = text;
	size_t len;

	if (next_line(&at, &len) && next_line(&at, &len))
		return vp_hmp_unknown(command, text, err);
	vp_hmp_line(text, out, size);
	if (!strncmp(out, unknown, sizeof(unknown) - 1))
		return vp_hmp_unknown(command, text, err);
	return 0;
}

unsigned int vp_hmp_version(const char *text)
{
	unsigned int major, minor;
	char line[64];

	vp_hmp_line(text, line, sizeof(line));
	if (!isdigit((unsigned char)line[0]) || sscanf(line, "%3u.%2u", &major, &minor) != 2)
		return 0;
	return 100 * major + minor;
}

/* "VM status: running"; "VM status: paused (io-error)". QEMU 7.2 may have its mode in between. */
int vp_hmp_status(const char *text, char *state, size_t size, bool *running, struct vp_err *err)
{
	static const char mode[] = " (single step mode)";
	const char *at = text, *line, *rest = NULL;
	size_t len, left = 0, n;

	line = next_line(&at, &len);
	if (!line || !after(line, len, "VM status: ", &rest, &left) || next_line(&at, &n))
		return vp_hmp_unknown("info status", text, err);
	n = word(rest, left);
	*running = equals(rest, n, "running");
	if ((!*running && !equals(rest, n, "paused")) || !copy_word(rest, n, state, size))
		return vp_hmp_unknown("info status", text, err);
	rest += n;
	left -= n;
	after(rest, left, mode, &rest, &left);
	if (!left)
		return 0;
	n = after(rest, left, " (", &rest, &left) ? word(rest, left) : 0;
	if (*running || !n || n != left - 1 || rest[n] != ')' || !copy_word(rest, n, state, size))
		return vp_hmp_unknown("info status", text, err);
	return 0;
}

int vp_hmp_kvm(const char *text, bool *enabled, struct vp_err *err)
{
	char line[48];
	int rc = vp_hmp_value("info kvm", text, line, sizeof(line), err);

	if (rc)
		return rc;
	*enabled = !strcmp(line, "kvm support: enabled");
	if (*enabled || !strcmp(line, "kvm support: disabled") ||
	    !strcmp(line, "kvm support: not compiled"))
		return 0;
	return vp_hmp_unknown("info kvm", text, err);
}

int vp_hmp_string(const char *text, char *out, size_t size, struct vp_err *err)
{
	const char *at = text, *line;
	size_t len, more;

	line = next_line(&at, &len);
	if (!line || len < 2 || line[0] != '"' || line[len - 1] != '"' || next_line(&at, &more) ||
	    len - 2 >= size || memchr(line, '\\', len) || memchr(line + 1, '"', len - 2))
		return vp_hmp_unknown("qom-get", text, err);
	memcpy(out, line + 1, len - 2);
	out[len - 2] = 0;
	return 0;
}

/* --- a line for each ------------------------------------------------------------- */

/* "* CPU #0: thread_id=1234 model=qemu64": the star is before the monitor's own choice. */
int vp_hmp_cpus(const char *text, unsigned int *n, struct vp_err *err)
{
	const char *at = text, *line;
	size_t len;

	for (*n = 0; (line = next_line(&at, &len)); ++*n) {
		unsigned int number;
		char star, colon;

		if (len > 200 || sscanf(line, "%c CPU #%5u%c", &star, &number, &colon) != 3 ||
		    (star != '*' && star != ' ') || colon != ':')
			return vp_hmp_unknown("info cpus", text, err);
	}
	return *n ? 0 : vp_hmp_unknown("info cpus", text, err);
}

/* "send-section-footer: on", "clear-bitmap-shift: 18": QEMU up to 10.0 begins with such. */
static bool is_global(const char *line, size_t len)
{
	size_t n = word(line, len);
	const char *rest;
	size_t left;

	if (!n || !after(line + n, len - n, ": ", &rest, &left) || !left)
		return false;
	if (equals(rest, left, "on") || equals(rest, left, "off"))
		return true;
	for (n = 0; n < left; n++)
		if (!isdigit((unsigned char)rest[n]))
			return false;
	return true;
}

/* "active"; "failed (Unable to write)". */
static bool take_status(const char *line, size_t len, char *status, size_t size)
{
	size_t n;

	for (; len && (*line == ' ' || *line == '\t'); line++)
		len--;
	n = word(line, len);
	if (n < len && (line[n] != ' ' || line[n + 1] != '('))
		return false;
	return copy_word(line, n, status, size);
}

/*
 * Up to QEMU 10.0: settings, why it is blocked, "Migration status: active" unless none was since
 * QEMU began, details. From 10.1 on: nothing at all if none was, else "Status: \t\tactive" and
 * details. What stands before the status must be known; and without a status, everything.
 */
int vp_hmp_migration(const char *text, char *status, size_t size, struct vp_err *err)
{
	const char *at = text, *line, *rest;
	bool found = false, blocked = false;
	size_t len, left;

	if (!copy_word("none", 4, status, size))
		return -EINVAL;
	while ((line = next_line(&at, &len))) {
		if (after(line, len, "Migration status:", &rest, &left) ||
		    after(line, len, "Status:", &rest, &left)) {
			if (found || !take_status(rest, left, status, size))
				return vp_hmp_unknown("info migrate", line, err);
			found = true;
		} else if (equals(line, len, "Outgoing migration blocked:")) {
			blocked = true;
		} else if (!found && !equals(line, len, "globals:") && !is_global(line, len) &&
			   !(blocked && line[0] == ' ')) {
			return vp_hmp_unknown("info migrate", line, err);
		}
	}
	return 0;
}
