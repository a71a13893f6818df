/* SPDX-License-Identifier: Apache-2.0 */
#include <vmpoke/types.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Texts quote guests, files and sockets: what could move a terminal's cursor does not pass. */
static void keep_one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

int vp_err_set(struct vp_err *err, int code, const char *fmt, ...)
{
	struct vp_err tmp; /* because an argument may be err->text itself */
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	if (vsnprintf(tmp.text, sizeof(tmp.text), fmt, ap) < 0)
		tmp.text[0] = '\0';
	va_end(ap);
	keep_one_line(tmp.text);
	memcpy(err->text, tmp.text, strlen(tmp.text) + 1);
	return code;
}
