/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/livepatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "hotfix/livepatch_internal.h"

/* --- .modinfo ------------------------------------------------------------------------------ */

/* The value of @key in @info, "key=value" texts one after the other; NULL. */
static const char *find_value(const struct vp_elf_section *info, const char *key)
{
	const char *p = (const char *)info->data, *end = p ? p + info->size : NULL;
	size_t n = strlen(key);

	while (p < end) {
		size_t len = strnlen(p, (size_t)(end - p));

		if (p + len == end) /* it does not end */
			return NULL;
		if (len > n && !memcmp(p, key, n) && p[n] == '=')
			return vp_text_is_clean(p + n + 1) ? p + n + 1 : NULL;
		p += len + 1;
	}
	return NULL;
}

static const char *modinfo(const struct vp_elf_object *elf, const char *key)
{
	size_t n;
	const struct vp_elf_section *s = vp_elf_object_sections(elf, &n);
	const char *value = NULL;

	for (size_t i = 1; i < n && !value; i++)
		if (!strcmp(s[i].name, ".modinfo"))
			value = find_value(&s[i], key);
	return value;
}

bool vp_livepatch_is(const struct vp_elf_object *module)
{
	const char *livepatch = modinfo(module, "livepatch");

	return livepatch && !strcmp(livepatch, "Y");
}

/* What it is, and the release, which is the first word of its vermagic. */
static void read_info(struct vp_lp *lp)
{
	const char *magic = modinfo(lp->elf, "vermagic");
	size_t n = magic ? strcspn(magic, " ") : 0;

	lp->name = modinfo(lp->elf, "name");
	lp->version = modinfo(lp->elf, "version");
	if (!lp->version)
		lp->version = modinfo(lp->elf, "srcversion");
	if (!lp->version)
		lp->version = "0";
	lp->description = modinfo(lp->elf, "description");
	if (!lp->description)
		lp->description = "a livepatch module";
	if (!lp->name)
		vp_blockers_add(lp->b, "livepatch: its .modinfo has no name");
	if (!n || n > VMPOKE_FOR_MAX)
		vp_blockers_add(lp->b, "livepatch: its .modinfo has no vermagic with a release");
	else
		memcpy(lp->release, magic, n);
}

/* Before anything of it is read by that kernel's types. */
static void check_release(const struct vp_lp *lp, const char *release)
{
	if (*lp->release && strcmp(lp->release, release))
		vp_blockers_add(lp->b, "it is for %.64s; the kernel is %.64s", lp->release,
				release);
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static int convert(struct vp_lp *lp, const struct vp_livepatch_kernel *kernel, size_t had,
		   void **image, size_t *len, struct vp_err *err)
{
	read_info(lp);
	check_release(lp, kernel->release);
	if (lp->b->added == had)
		vp_lp_read_funcs(lp);
	if (lp->b->added == had)
		vp_lp_reach(lp);
	if (lp->no_memory)
		return vp_err_set(err, -ENOMEM, "out of memory");
	return lp->b->added == had ? vp_lp_write(lp, image, len, err) : 0;
}

/* What is no hotfix has one line: the first reason, and how many there are. */
static int refuse(const struct vp_elf_object *module, const struct vp_blockers *b, size_t kept,
		  struct vp_err *err)
{
	const char *what = vp_elf_object_what(module);

	if (kept >= vp_blockers_kept(b))
		return vp_err_set(err, -ENOEXEC, "%s: it cannot be taken", what);
	if (b->n > kept + 1)
		return vp_err_set(err, -ENOEXEC, "%s: %.130s (and %zu more)", what,
				  b->list[kept].text, b->n - kept - 1);
	return vp_err_set(err, -ENOEXEC, "%s: %.150s", what, b->list[kept].text);
}

int vp_livepatch_convert(const struct vp_elf_object *module,
			 const struct vp_livepatch_kernel *kernel, void **image, size_t *len,
			 struct vp_blockers *b, struct vp_err *err)
{
	struct vp_lp *lp = calloc(1, sizeof(*lp));
	size_t had = b->added, kept = vp_blockers_kept(b);
	int rc;

	*image = NULL;
	if (!lp)
		return vp_err_set(err, -ENOMEM, "out of memory");
	lp->elf = module;
	lp->sections = vp_elf_object_sections(module, &lp->nsections);
	lp->symbols = vp_elf_object_symbols(module, &lp->nsymbols);
	lp->layout = kernel->layout;
	lp->b = b;
	rc = convert(lp, kernel, had, image, len, err);
	if (!rc && b->added != had) {
		free(*image);
		*image = NULL;
		rc = refuse(module, b, kept, err);
	}
	free(lp->items);
	free(lp->whole);
	free(lp->alternatives);
	free(lp);
	return rc;
}
