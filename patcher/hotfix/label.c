/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/label.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/text.h"

static const char magic[8] = "VMPOKE\0\1";

enum { FUNCTION_WORDS = 5, CALL_WORDS = 2, NTEXTS = 4, PAGE = 4096 };

/* Where what stands, in bytes. */
enum {
	AT_LENGTH = sizeof(magic),
	AT_DIGEST = AT_LENGTH + 8,
	AT_WHEN = AT_DIGEST + 8,
	AT_AREAS = AT_WHEN + 8,
	AT_CODE = AT_AREAS + 2 * 8 * VP_AREA_COUNT,
	AT_OBJECT = AT_CODE + 8,
	AT_COUNT = AT_OBJECT + 32,
	AT_CALLS = AT_COUNT + 8,
	AT_FUNCTIONS = AT_CALLS + 8,
};

static_assert(AT_WHEN == VP_LABEL_HEAD, "what tells the length is its head");

static void put(uint8_t *to, uint64_t value)
{
	for (size_t i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *from)
{
	uint64_t value = 0;

	for (size_t i = 8; i--;)
		value = value << 8 | from[i];
	return value;
}

/* --- what makes sense --------------------------------------------------------------- */

static bool text_is_right(const char *text, size_t min, size_t max)
{
	size_t n = strlen(text);

	return n >= min && n <= max && vp_text_is_clean(text);
}

static bool areas_are_right(const struct vp_hotfix_label *l)
{
	for (size_t i = 0; i < VP_AREA_COUNT; i++) {
		uint64_t at = l->areas[i].at.v, size = l->areas[i].size;

		if (at % PAGE || size % PAGE || !at != !size || at + size < at)
			return false;
	}
	return l->areas[VP_AREA_TEXT].size > vp_hotfix_label_size(l);
}

static bool function_is_right(const struct vp_hotfix_label *l,
			      const struct vp_hotfix_label_function *f)
{
	uint64_t code = f->replacement.v - l->areas[VP_AREA_TEXT].at.v;

	/* The site is the nop at the function's entry, which an endbr64 may come before. */
	return text_is_right(f->name, 1, VMPOKE_SYMBOL_MAX) && f->old.v &&
	       f->site.v - f->old.v <= 4 && code >= vp_hotfix_label_size(l) &&
	       code < l->areas[VP_AREA_TEXT].size && !f->before[5] && !f->before[6] &&
	       !f->before[7];
}

static bool call_is_right(const struct vp_hotfix_label_call *call)
{
	return call->at.v >> 63 &&
	       (call->when == VMPOKE_WHEN_BEFORE_REMOVE || call->when == VMPOKE_WHEN_AFTER_REMOVE);
}

/* Why it is no label that we would write; NULL: it is one. */
static const char *what_is_wrong(const struct vp_hotfix_label *l)
{
	if (!text_is_right(l->name, 1, VMPOKE_NAME_MAX) ||
	    !text_is_right(l->version, 1, VMPOKE_VERSION_MAX) ||
	    !text_is_right(l->description, 0, VMPOKE_DESCRIPTION_MAX) ||
	    !text_is_right(l->who, 0, VP_LABEL_WHO_MAX))
		return "its texts are too long, or not printable";
	if (!l->nfunctions || l->nfunctions > VMPOKE_FUNCTION_COUNT)
		return "it has no functions, or too many";
	if (!areas_are_right(l))
		return "its areas are no whole pages, or too small";
	for (size_t i = 0; i < l->nfunctions; i++)
		if (!function_is_right(l, &l->functions[i]))
			return "a function of it lies elsewhere, or has no name";
	if (l->ncalls > VMPOKE_CALL_COUNT)
		return "it has too many calls";
	for (size_t i = 0; i < l->ncalls; i++)
		if (!call_is_right(&l->calls[i]))
			return "a call of it is of no known moment, or of no function";
	return NULL;
}

/* --- writing -------------------------------------------------------------------------- */

size_t vp_hotfix_label_size(const struct vp_hotfix_label *l)
{
	size_t size = AT_FUNCTIONS + l->nfunctions * FUNCTION_WORDS * 8 +
		      l->ncalls * CALL_WORDS * 8 + NTEXTS + strlen(l->name) + strlen(l->version) +
		      strlen(l->description) + strlen(l->who);

	for (size_t i = 0; i < l->nfunctions; i++)
		size += strlen(l->functions[i].name) + 1;
	return size;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(at, text, n);
	return at + n;
}

int vp_hotfix_label_write(const struct vp_hotfix_label *l, uint8_t *out, struct vp_err *err)
{
	const char *wrong = what_is_wrong(l);
	size_t size = vp_hotfix_label_size(l);
	uint8_t *at = out + AT_FUNCTIONS;

	if (wrong)
		return vp_err_set(err, -EINVAL, "the hotfix's label: %s", wrong);
	memcpy(out, magic, sizeof(magic));
	put(out + AT_LENGTH, size);
	put(out + AT_WHEN, (uint64_t)l->when);
	for (size_t i = 0; i < VP_AREA_COUNT; i++) {
		put(out + AT_AREAS + 16 * i, l->areas[i].at.v);
		put(out + AT_AREAS + 16 * i + 8, l->areas[i].size);
	}
	put(out + AT_CODE, l->code);
	memcpy(out + AT_OBJECT, l->object, sizeof(l->object));
	put(out + AT_COUNT, l->nfunctions);
	put(out + AT_CALLS, l->ncalls);
	for (size_t i = 0; i < l->nfunctions; i++, at += FUNCTION_WORDS * 8) {
		const struct vp_hotfix_label_function *f = &l->functions[i];

		put(at, f->old.v);
		put(at + 8, f->site.v);
		put(at + 16, f->replacement.v);
		put(at + 24, f->record.v);
		memcpy(at + 32, f->before, sizeof(f->before));
	}
	for (size_t i = 0; i < l->ncalls; i++, at += CALL_WORDS * 8) {
		put(at, l->calls[i].when);
		put(at + 8, l->calls[i].at.v);
	}
	at = put_text(at, l->name);
	at = put_text(at, l->version);
	at = put_text(at, l->description);
	at = put_text(at, l->who);
	for (size_t i = 0; i < l->nfunctions; i++)
		at = put_text(at, l->functions[i].name);
	put(out + AT_DIGEST, vp_digest(VP_DIGEST_INIT, out + AT_WHEN, size - AT_WHEN));
	return 0;
}

/* --- reading -------------------------------------------------------------------------- */

size_t vp_hotfix_label_length(const uint8_t head[VP_LABEL_HEAD])
{
	uint64_t size = get(head + AT_LENGTH);

	return memcmp(head, magic, sizeof(magic)) || size < AT_FUNCTIONS || size > VP_LABEL_MAX
		       ? 0
		       : size;
}

/* What is read: the label first, its functions and calls, then its texts. */
struct copy {
	struct vp_hotfix_label label;
	struct vp_hotfix_label_function functions[VMPOKE_FUNCTION_COUNT];
	struct vp_hotfix_label_call calls[VMPOKE_CALL_COUNT];
	char texts[];
};

/* The next text of [*at, end); NULL: there is none. */
static const char *take_text(const char **at, const char *end)
{
	const char *text = *at, *nul = memchr(text, 0, (size_t)(end - text));

	if (nul)
		*at = nul + 1;
	return nul ? text : NULL;
}

/* Exactly these texts, to the last byte. */
static bool take_texts(struct copy *c, size_t len)
{
	const char *at = c->texts, *end = at + len;
	const char **four[NTEXTS] = { &c->label.name, &c->label.version, &c->label.description,
				      &c->label.who };

	for (size_t i = 0; i < NTEXTS; i++)
		if (!(*four[i] = take_text(&at, end)))
			return false;
	for (size_t i = 0; i < c->label.nfunctions; i++)
		if (!(c->functions[i].name = take_text(&at, end)))
			return false;
	return at == end;
}

static void take_numbers(struct copy *c, const uint8_t *bytes)
{
	const uint8_t *at = bytes + AT_FUNCTIONS;

	c->label.when = (int64_t)get(bytes + AT_WHEN);
	for (size_t i = 0; i < VP_AREA_COUNT; i++) {
		c->label.areas[i].at.v = get(bytes + AT_AREAS + 16 * i);
		c->label.areas[i].size = get(bytes + AT_AREAS + 16 * i + 8);
	}
	c->label.code = get(bytes + AT_CODE);
	memcpy(c->label.object, bytes + AT_OBJECT, sizeof(c->label.object));
	c->label.functions = c->functions;
	for (size_t i = 0; i < c->label.nfunctions; i++, at += FUNCTION_WORDS * 8) {
		struct vp_hotfix_label_function *f = &c->functions[i];

		f->old.v = get(at);
		f->site.v = get(at + 8);
		f->replacement.v = get(at + 16);
		f->record.v = get(at + 24);
		memcpy(f->before, at + 32, sizeof(f->before));
	}
	c->label.calls = c->calls;
	for (size_t i = 0; i < c->label.ncalls; i++, at += CALL_WORDS * 8) {
		uint64_t when = get(at);

		/* a number that is none of them must not become one by being cut */
		c->calls[i].when = when <= VMPOKE_WHEN_AFTER_REMOVE ? (enum vmpoke_when)when
								    : VMPOKE_WHEN_BEFORE_APPLY;
		c->calls[i].at.v = get(at + 8);
	}
}

int vp_hotfix_label_read(const uint8_t *bytes, size_t len, vp_gva at, struct vp_hotfix_label **out,
			 struct vp_err *err)
{
	size_t size = len < VP_LABEL_HEAD ? 0 : vp_hotfix_label_length(bytes), numbers;
	const char *wrong;
	struct copy *c;
	uint64_t n, m;

	if (!size)
		return vp_err_set(err, -ENOENT, "no hotfix's label is at 0x%llx",
				  (unsigned long long)at.v);
	n = size <= len ? get(bytes + AT_COUNT) : 0;
	m = n ? get(bytes + AT_CALLS) : 0;
	numbers = 0;
	if (n <= VMPOKE_FUNCTION_COUNT && m <= VMPOKE_CALL_COUNT)
		numbers = n * FUNCTION_WORDS * 8 + m * CALL_WORDS * 8;
	if (!numbers || size - AT_FUNCTIONS < numbers ||
	    get(bytes + AT_DIGEST) != vp_digest(VP_DIGEST_INIT, bytes + AT_WHEN, size - AT_WHEN))
		return vp_err_set(err, -EBADMSG, "the hotfix's label at 0x%llx is damaged",
				  (unsigned long long)at.v);
	size -= AT_FUNCTIONS + numbers; /* what is left are texts */
	c = calloc(1, sizeof(*c) + size);
	if (!c)
		return vp_err_set(err, -ENOMEM, "out of memory");
	c->label.nfunctions = n;
	c->label.ncalls = m;
	take_numbers(c, bytes);
	memcpy(c->texts, bytes + AT_FUNCTIONS + numbers, size);
	wrong = take_texts(c, size) ? what_is_wrong(&c->label) : "its texts are not its own";
	if (!wrong && c->label.areas[VP_AREA_TEXT].at.v != at.v)
		wrong = "it is of another place";
	if (wrong) {
		free(c);
		return vp_err_set(err, -EBADMSG, "the hotfix's label at 0x%llx: %s",
				  (unsigned long long)at.v, wrong);
	}
	*out = &c->label;
	return 0;
}
