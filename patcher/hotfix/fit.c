/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/fit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hotfix/digest.h"
#include "hotfix/which.h"

#define FUNCTION_MAX (1u << 20) /* bytes of one function that is digested */

/* --- what the linker asks --------------------------------------------------------------- */

struct world {
	struct vp_linux *l;
	const struct vp_linux_features *features;
};

static int symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	const struct world *w = arg;
	struct vp_hotfix_which which;
	int rc = vp_hotfix_which(w->l, name, &which, err);

	*at = which.at;
	return rc;
}

static int thunk(void *arg, const char *name, vp_gva *at, struct vp_err *err)
{
	const struct world *w = arg;

	if (strcmp(name, "__x86_return_thunk"))
		return vp_symtab_find(vp_linux_symbols(w->l), name, at, err);
	*at = w->features->return_thunk;
	return 0;
}

static int cpu_has(void *arg, unsigned int bit, struct vp_err *err)
{
	const struct vp_linux_features *f = ((const struct world *)arg)->features;

	if (bit / 32 >= f->nwords)
		return vp_err_set(err, -EOPNOTSUPP, "this kernel has no CPU feature %u", bit);
	return (int)(f->words[bit / 32] >> bit % 32 & 1);
}

static int read_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	return vp_linux_read(((const struct world *)arg)->l, at, value, sizeof(*value), err);
}

/* --- one look after the other ------------------------------------------------------------ */

static void check_kernel(struct vp_linux *l, const struct vp_hotfix_object *o,
			 const struct vp_linux_features *f, struct vp_blockers *b)
{
	const struct vp_linux_info *info = vp_linux_info(l);
	const struct vp_hotfix_about *a = vp_hotfix_object_about(o);

	if (!vp_hotfix_object_is_for(o, info->release, *info->build_id ? info->build_id : NULL))
		vp_blockers_add(b, "it is for %.64s%s%s; the guest runs %s, build-id %s",
				a->nreleases ? a->releases[0] : "the kernel with build-id ",
				a->nreleases ? "" : a->build_ids[0],
				a->nreleases + a->nbuild_ids > 1 ? " and others" : "",
				info->release, *info->build_id ? info->build_id : "unknown");
	if (f->cfi)
		vp_blockers_add(b, "the guest's kernel checks indirect calls (kCFI or FineIBT), "
				   "and would not take new code");
	if (f->call_depth)
		vp_blockers_add(b, "the guest's kernel counts calls (retbleed=stuff), which new "
				   "code would not do");
}

int vp_hotfix_code_digest(struct vp_linux *l, const struct vp_linux_function *function,
			  uint8_t out[VP_SHA256_SIZE], struct vp_err *err)
{
	uint8_t *code;
	int rc;

	if (function->len > FUNCTION_MAX)
		return vp_err_set(err, -EINVAL, "its code is too long");
	code = malloc(function->len + 1);
	if (!code)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_linux_read(l, function->start, code, function->len, err);
	if (!rc)
		rc = vp_code_digest(code, function->len, function->start, out, err);
	free(code);
	return rc;
}

/* Is the code there that the hotfix was made for? */
static void check_code(struct vp_linux *l, const struct vp_hotfix_function *f,
		       const struct vp_linux_function *at, struct vp_blockers *b)
{
	uint8_t digest[VP_SHA256_SIZE];
	struct vp_err why = { "" };

	if (!f->expects)
		return;
	if (vp_hotfix_code_digest(l, at, digest, &why))
		vp_blockers_add(b, "%.80s: %s", f->old.name, why.text);
	else if (memcmp(digest, f->expected, sizeof(digest)))
		vp_blockers_add(b, "%.80s: other code stands there than the hotfix was made for",
				f->old.name);
}

/* -errno: the guest could not be looked at. */
static int check_function(struct vp_linux *l, const struct vp_hotfix_function *f,
			  const struct vp_linux_ranges *known, struct vp_linux_function *out,
			  struct vp_blockers *b, struct vp_err *err)
{
	struct vp_hotfix_which which;
	struct vp_err why = { "" };
	int rc;

	if (vp_hotfix_which(l, &f->old, &which, &why))
		return 0; /* the linker asks, too, and tells it */
	rc = vp_linux_function(l, which.name, which.nth, known, out, &why);
	switch (rc) {
	case 0:
		check_code(l, f, out, b);
		return 0;
	case -EBUSY:
	case -EAGAIN:
		check_code(l, f, out, b);
		/* fall through */
	case -ENOENT:
	case -EEXIST:
	case -EOPNOTSUPP:
	case -EBADMSG:
		vp_blockers_add(b, "%s", why.text);
		return 0;
	default:
		return vp_err_set(err, rc, "%s", why.text);
	}
}

int vp_hotfix_fit_open(struct vp_linux *l, const struct vp_hotfix_object *object,
		       const struct vp_linux_ranges *known, struct vp_hotfix_fit **out,
		       struct vp_blockers *b, struct vp_err *err)
{
	struct vp_hotfix_fit *fit = calloc(1, sizeof(*fit));
	struct world w = { l, fit ? &fit->features : NULL };
	const struct vp_hotfix_world world = { &w, symbol, thunk, cpu_has, read_pointer };
	const struct vp_hotfix_about *about = vp_hotfix_object_about(object);
	size_t had = b->added, kept = vp_blockers_kept(b);
	int rc;

	if (fit)
		fit->functions = calloc(about->nfunctions, sizeof(*fit->functions));
	if (!fit || !fit->functions) {
		free(fit);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	fit->about = about;
	rc = vp_linux_features(l, &fit->features, err);
	if (!rc)
		check_kernel(l, object, &fit->features, b);
	for (size_t i = 0; i < about->nfunctions && !rc; i++)
		rc = check_function(l, &about->functions[i], known, &fit->functions[i], b, err);
	if (!rc)
		rc = vp_hotfix_link_open(object, &world, &fit->link, b, err);
	if (!rc && b->added != had)
		rc = vp_err_set(err, -ENOEXEC, "%.200s",
				kept < vp_blockers_kept(b) ? b->list[kept].text
							   : "it does not fit");
	if (rc) {
		vp_hotfix_fit_close(fit);
		return rc;
	}
	*out = fit;
	return 0;
}

void vp_hotfix_fit_close(struct vp_hotfix_fit *fit)
{
	if (!fit)
		return;
	vp_hotfix_link_close(fit->link);
	free(fit->functions);
	free(fit);
}
