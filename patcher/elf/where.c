/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/where.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEX_DIGITS   "0123456789abcdefABCDEF"
#define FULL_ADDRESS 16

/* 16 digits, up to an offset if there is one. */
static bool is_full_address(const char *text)
{
	return strspn(text, HEX_DIGITS) == FULL_ADDRESS && strcspn(text, "+-") == FULL_ADDRESS;
}

static int parse_number(const char *text, uint64_t *out, struct vp_err *err)
{
	bool prefix = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = prefix ? text + 2 : text;
	size_t len = strlen(digits), hex = strspn(digits, HEX_DIGITS),
	       decimal = strspn(digits, "0123456789");

	prefix |= is_full_address(text);
	if (!prefix && len == hex && len > decimal)
		return vp_err_set(err, -EINVAL, "\"%.100s\" is not a number: write 0x%.100s", text,
				  text);
	if (!len || len > (prefix ? hex : decimal))
		return vp_err_set(err, -EINVAL, "\"%.100s\" is not a number", text);
	if (!prefix && len > 1 && *digits == '0')
		return vp_err_set(err, -EINVAL,
				  "\"%.100s\": octal or decimal? write it without the 0, or "
				  "with 0x",
				  text);
	errno = 0;
	*out = strtoull(digits, NULL, prefix ? 16 : 10);
	if (errno == ERANGE)
		return vp_err_set(err, -ERANGE, "\"%.100s\" does not fit 64 bits", text);
	return 0;
}

int vp_where_split(const char *text, struct vp_where *out, struct vp_err *err)
{
	const char *sign = strpbrk(text, "+-");

	*out = (struct vp_where){ 0 };
	if (isdigit((unsigned char)*text) || is_full_address(text)) {
		if (sign)
			return vp_err_set(err, -EINVAL,
					  "\"%.100s\": offsets go with symbols; write the sum",
					  text);
		return parse_number(text, &out->number, err);
	}
	if (!*text || sign == text)
		return vp_err_set(err, -EINVAL, "\"%.100s\" is neither an address nor a symbol",
				  text);
	out->name_len = sign ? (size_t)(sign - text) : strlen(text);
	out->minus = sign && *sign == '-';
	if (sign && !sign[1])
		return vp_err_set(err, -EINVAL, "\"%.100s\" lacks its offset", text);
	return sign ? parse_number(sign + 1, &out->number, err) : 0;
}
