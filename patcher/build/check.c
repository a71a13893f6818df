/* SPDX-License-Identifier: Apache-2.0 */
#include "build/check.h"

#include <errno.h>
#include <string.h>

#include "base/digest.h"
#include "hotfix/link.h"
#include "hotfix/object.h"

/* Where kernels and their modules are; what is linked here goes nowhere. */
#define KERNEL	0xffffffff81000000ull
#define MODULES 0xffffffffc0000000ull

/* A guest that has everything, each name (and each place of it) at an address of its own. */
static int any_symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	uint64_t digest = vp_digest(VP_DIGEST_INIT, name->name, strlen(name->name));

	(void)arg, (void)err;
	digest = vp_digest(digest, name->where, strlen(name->where));
	digest = vp_digest(digest, &name->number, sizeof(name->number));
	*at = VP_GVA(KERNEL + (digest & 0xfffffff)); /* two at one: 1 of 268 million */
	return 0;
}

static int any_thunk(void *arg, const char *name, vp_gva *at, struct vp_err *err)
{
	(void)arg, (void)name, (void)err;
	*at = VP_GVA(KERNEL);
	return 0;
}

/* @arg: a guest whose CPU has all features, or none. */
static int all_or_none(void *arg, unsigned int bit, struct vp_err *err)
{
	(void)bit, (void)err;
	return *(const bool *)arg;
}

static int any_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	(void)arg, (void)at, (void)err;
	*value = KERNEL;
	return 0;
}

static int link_once(const struct vp_hotfix_object *object, bool features,
		     struct vp_blockers *blockers, struct vp_err *err)
{
	const struct vp_hotfix_world world = { &features, any_symbol, any_thunk, all_or_none,
					       any_pointer };
	struct vp_hotfix_link *link;
	int rc = vp_hotfix_link_open(object, &world, &link, blockers, err);

	if (rc)
		return rc;
	rc = vp_hotfix_link_try(link, VP_GVA(MODULES), blockers, err);
	vp_hotfix_link_close(link);
	return rc;
}

/* Whatever is wrong with it: the source is to blame, not this host. */
static int verdict(int rc)
{
	return rc && rc != -ENOMEM ? -EOPNOTSUPP : rc;
}

int vp_check(const void *image, size_t len, const char *what, size_t *functions,
	     struct vp_blockers *blockers, struct vp_err *err)
{
	struct vp_hotfix_object *object = NULL;
	struct vp_elf_object *elf;
	struct vp_err later;
	int rc = vp_elf_object_open(image, len, what, &elf, err), again;

	if (rc)
		return verdict(rc);
	rc = vp_hotfix_object_open(elf, &object, blockers, err);
	if (!rc) {
		*functions = vp_hotfix_object_about(object)->nfunctions;
		rc = link_once(object, true, blockers, err);
		again = link_once(object, false, blockers, rc ? &later : err);
		rc = rc ? rc : again;
	}
	vp_hotfix_object_close(object);
	vp_elf_object_close(elf);
	return verdict(rc);
}
