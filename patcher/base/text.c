/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

/*
 * The character at @s, which is @len bytes long in UTF-8 as RFC 3629 has it: shortest form, no
 * surrogates, up to U+10FFFF. 0: it is none.
 */
static size_t utf8(const unsigned char *s, uint32_t *out)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t min;
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	for (size_t i = 0; i < 4; i++) {
		uint32_t c = s[0] & (unsigned char)~forms[i].mask;

		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		for (size_t k = 1; k <= i; k++) {
			if ((s[k] & 0xc0) != 0x80) /* the NUL, too */
				return 0;
			c = c << 6 | (s[k] & 0x3f);
		}
		if (c < forms[i].min || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
			return 0;
		*out = c;
		return i + 1;
	}
	return 0;
}

static bool passes(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} none[] = {
		{ 0x0000, 0x001f },
		{ 0x007f, 0x009f }, /* controls */
		{ 0x00ad, 0x00ad }, /* soft hyphen */
		{ 0x061c, 0x061c }, /* direction */
		{ 0x180e, 0x180e }, /* unseen */
		{ 0x200b, 0x200f },
		{ 0x2028, 0x202e }, /* unseen, separators, direction */
		{ 0x2060, 0x206f },
		{ 0xfeff, 0xfeff },   /* the same */
		{ 0xfff9, 0xfffb },   /* annotations */
		{ 0xe0000, 0xe0fff }, /* tags */
		{ 0xe000, 0xf8ff },
		{ 0xf0000, 0x10ffff }, /* private use: whatever a font makes of it */
	};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (c >= none[i].first && c <= none[i].last)
			return false;
	return (c & 0xfffe) != 0xfffe && !(c >= 0xfdd0 && c <= 0xfdef); /* no characters */
}

/* How many bytes of @s pass as one character; 0: the first does not. */
static size_t step(const char *s)
{
	uint32_t c = 0;
	size_t n = utf8((const unsigned char *)s, &c);

	return n && passes(c) ? n : 0;
}

void vp_text_clean(char *text)
{
	while (*text) {
		size_t n = step(text);

		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

bool vp_text_is_clean(const char *text)
{
	size_t n = 1;

	for (; *text && n; text += n)
		n = step(text);
	return n;
}

void vp_text_copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	vp_text_clean(to);
}
