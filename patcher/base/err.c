/* SPDX-License-Identifier: Apache-2.0 */
#include <vmpoke/types.h>

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
	vp_text_clean(tmp.text); /* it quotes guests, files and sockets */
	memcpy(err->text, tmp.text, strlen(tmp.text) + 1);
	return code;
}
