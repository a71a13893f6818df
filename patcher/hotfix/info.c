/* SPDX-License-Identifier: Apache-2.0 */
/* .vmpoke.info: "key=value" texts. */
#include <string.h>

#include "base/text.h"
#include "hotfix/internal.h"

#define BUILD_ID "build-id:"

size_t vp_hotfix_section(const struct vp_hotfix_object *o, const char *name, struct vp_blockers *b)
{
	size_t n, found = 0;
	const struct vp_elf_section *s = vp_elf_object_sections(o->elf, &n);

	for (size_t i = 1; i < n; i++) {
		if (strcmp(s[i].name, name))
			continue;
		if (found) {
			vp_blockers_add(b, "metadata: several sections %s", name);
			return 0;
		}
		found = i;
	}
	return found;
}

/* A word of a hotfix: it becomes a part of names in ledgers and of file names. */
static void read_word(const char **out, const char *key, const char *value, size_t max,
		      struct vp_blockers *b)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._+-";

	if (*out)
		vp_blockers_add(b, "metadata: two of key %s", key);
	else if (!*value || strlen(value) > max)
		vp_blockers_add(b, "metadata: the %s has %zu bytes: 1 to %zu are allowed", key,
				strlen(value), max);
	else if (!vp_text_is_clean(value))
		vp_blockers_add(b, "metadata: the %s holds control characters", key);
	else if (strspn(value, letters) != strlen(value))
		vp_blockers_add(b, "metadata: %s \"%s\": only A-Z a-z 0-9 . _ + - are allowed", key,
				value);
	*out = value;
}

static void read_description(struct vp_hotfix_about *a, const char *value, struct vp_blockers *b)
{
	if (a->description)
		vp_blockers_add(b, "metadata: two of key description");
	else if (strlen(value) > VMPOKE_DESCRIPTION_MAX)
		vp_blockers_add(b, "metadata: the description has more than %u bytes",
				VMPOKE_DESCRIPTION_MAX);
	else if (!vp_text_is_clean(value))
		vp_blockers_add(b, "metadata: the description holds control characters");
	a->description = value;
}

static void read_for(struct vp_hotfix_object *o, const char *value, struct vp_blockers *b)
{
	struct vp_hotfix_about *a = &o->about;
	size_t prefix = strlen(BUILD_ID), len = strlen(value);
	bool build_id = !strncmp(value, BUILD_ID, prefix);

	if (!len || len > VMPOKE_FOR_MAX || !vp_text_is_clean(value) || strchr(value, ' ')) {
		vp_blockers_add(b, "metadata: for=: neither a release nor a build-id");
	} else if (a->nreleases + a->nbuild_ids == VMPOKE_FOR_COUNT) {
		vp_blockers_add(b, "metadata: it is for more than %u kernels", VMPOKE_FOR_COUNT);
	} else if (!build_id) {
		o->releases[a->nreleases++] = value;
	} else {
		value += prefix;
		len -= prefix;
		if (len < 8 || len % 2 || strspn(value, "0123456789abcdef") != len)
			vp_blockers_add(b,
					"metadata: for=" BUILD_ID
					"%s: not a build-id in hexadecimal, lower case",
					value);
		else
			o->build_ids[a->nbuild_ids++] = value;
	}
}

static void read_text(struct vp_hotfix_object *o, const char *text, const char **format,
		      struct vp_blockers *b)
{
	struct vp_hotfix_about *a = &o->about;
	const char *value = strchr(text, '=');
	size_t key = value ? (size_t)(value - text) : 0;

#define IS(name) (key == strlen(name) && !memcmp(text, name, key))
	value = value ? value + 1 : text;
	if (IS("format")) {
		if (*format)
			vp_blockers_add(b, "metadata: two of key format");
		else if (strcmp(value, VMPOKE_FORMAT_TEXT))
			vp_blockers_add(b, "metadata: format %.16s: this vmpoke knows format %s",
					value, VMPOKE_FORMAT_TEXT);
		*format = value;
	} else if (IS("name")) {
		read_word(&a->name, "name", value, VMPOKE_NAME_MAX, b);
	} else if (IS("version")) {
		read_word(&a->version, "version", value, VMPOKE_VERSION_MAX, b);
	} else if (IS("description")) {
		read_description(a, value, b);
	} else if (IS("for")) {
		read_for(o, value, b);
	} else {
		vp_blockers_add(b, "metadata: unknown text \"%.40s\"", text);
	}
#undef IS
}

void vp_hotfix_read_info(struct vp_hotfix_object *o, struct vp_blockers *b)
{
	size_t n, nrelocs, i = vp_hotfix_section(o, ".vmpoke.info", b);
	const struct vp_elf_section *s = &vp_elf_object_sections(o->elf, &n)[i];
	struct vp_hotfix_about *a = &o->about;
	const char *format = NULL;
	size_t had = b->added;

	vp_elf_object_relocs(o->elf, i, &nrelocs);
	if (!i || !s->data || !s->size) {
		vp_blockers_add(b, "metadata missing: no section .vmpoke.info, which "
				   "VMPOKE_HOTFIX() in the source makes");
		return;
	}
	if (s->data[s->size - 1] || nrelocs) {
		vp_blockers_add(b, "metadata: the last text of .vmpoke.info does not end, or is "
				   "relocated");
		return;
	}
	for (uint64_t at = 0; at < s->size; at += strlen((const char *)s->data + at) + 1)
		if (s->data[at])
			read_text(o, (const char *)s->data + at, &format, b);
	if (!format || !a->name || !a->version || !a->description)
		vp_blockers_add(b, "metadata missing: no %s: is VMPOKE_HOTFIX() in the source?",
				!format	      ? "format"
				: !a->name    ? "name"
				: !a->version ? "version"
					      : "description");
	if (!a->nreleases && !a->nbuild_ids && b->added == had)
		vp_blockers_add(b, "metadata missing: which kernel it is for: VMPOKE_FOR()");
	a->releases = o->releases;
	a->build_ids = o->build_ids;
}
