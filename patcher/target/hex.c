/* SPDX-License-Identifier: Apache-2.0 */
#include "target/hex.h"

#include <errno.h>

static const char digits[] = "0123456789abcdef";

/* Not strchr(): it finds the NUL, too. */
int vp_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int vp_hex_parse(const char *what, const char *text, uint8_t *out, size_t max, size_t *len,
		 struct vp_err *err)
{
	size_t n = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	while (*text) {
		int high = vp_hex_digit(text[0]), low = high < 0 ? -1 : vp_hex_digit(text[1]);

		if (low < 0)
			return vp_err_set(err, -EINVAL, "%s: byte %zu is not two hex digits", what,
					  n);
		if (n == max)
			return vp_err_set(err, -EINVAL, "%s: more than %zu bytes", what, max);
		out[n++] = (uint8_t)(high << 4 | low);
		text += 2;
		if (text[0] == ' ' && text[1])
			text++;
	}
	if (!n)
		return vp_err_set(err, -EINVAL, "%s: no bytes given", what);
	*len = n;
	return 0;
}

void vp_hex_format(const uint8_t *bytes, size_t n, char *text)
{
	size_t i;

	for (i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * n] = 0;
}
