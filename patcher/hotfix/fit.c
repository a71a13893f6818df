/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/fit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hotfix/code.h"
#include "hotfix/which.h"
#include "linux/as_built.h"
#include "linux/file.h"

/* Where modules are, and hotfixes: what is out of range from there is so from all places. */
#define TRY_AT 0xffffffffc0000000ull

/* --- what the linker asks --------------------------------------------------------------- */

struct world {
	struct vp_linux *l;
	const struct vp_linux_features *features;
	bool all; /* of a file: a CPU with all features, not none */
};

static int symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	const struct world *w = arg;
	struct vp_hotfix_which which;
	int rc = vp_hotfix_which(w->l, name, &which, err);

	*at = which.at;
	if (rc == -ENOENT && vp_linux_is_file(w->l) && name->which == VMPOKE_WHICH_ONLY)
		vp_err_set(err, rc, "if a module has it, ask a guest that has the module");
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
	const struct world *w = arg;
	const struct vp_linux_features *f = w->features;

	if (bit / 32 >= f->nwords)
		return vp_err_set(err, -EOPNOTSUPP, "this kernel has no CPU feature %u", bit);
	return vp_linux_is_file(w->l) ? w->all : (int)(f->words[bit / 32] >> bit % 32 & 1);
}

static int read_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	return vp_linux_read(((const struct world *)arg)->l, at, value, sizeof(*value), err);
}

/* --- one look after the other ------------------------------------------------------------ */

struct fitting {
	struct vp_linux *l;
	const struct vp_hotfix_object *object;
	const struct vp_linux_ranges *known;
	struct vp_blockers *b;
	struct vp_blockers *untold; /* of a file */
};

static void check_kernel(struct vp_linux *l, const struct vp_hotfix_object *o,
			 const struct vp_linux_features *f, struct vp_blockers *b)
{
	const struct vp_linux_kernel *info = vp_linux_info(l);
	const struct vp_hotfix_about *a = vp_hotfix_object_about(o);

	if (!vp_hotfix_object_is_for(o, info->release, *info->build_id ? info->build_id : NULL))
		vp_blockers_add(b, "it is for %.64s%s%s; the %s %s, build-id %s",
				a->nreleases ? a->releases[0] : "the kernel with build-id ",
				a->nreleases ? "" : a->build_ids[0],
				a->nreleases + a->nbuild_ids > 1 ? " and others" : "",
				vp_linux_is_file(l) ? "file has" : "guest runs", info->release,
				*info->build_id ? info->build_id : "unknown");
	if (f->cfi)
		vp_blockers_add(b, "the guest's kernel checks indirect calls (kCFI or FineIBT), "
				   "and would not take new code");
	if (f->call_depth)
		vp_blockers_add(b, "the guest's kernel counts calls (retbleed=stuff), which new "
				   "code would not do");
}

/*
 * Other code than expected, in a file: boot may yet make of it what is expected, if it rewrites
 * some of it.
 */
static void check_unbooted(const struct fitting *x, const char *name,
			   const struct vp_linux_function *at)
{
	struct vp_err why = { "" };
	size_t n;

	if (vp_as_built_rewritten(x->l, at->start, at->len, &n, &why))
		vp_blockers_add(x->b,
				"%.80s: whether it is the code that the hotfix was made for cannot "
				"be told: %.120s",
				name, why.text);
	else if (n)
		vp_blockers_add(x->untold,
				"whether %.80s has the code that the hotfix was made for: it has "
				"%zu place(s) that the kernel rewrites at boot, for its CPU",
				name, n);
	else
		vp_blockers_add(x->b, "%.80s: other code stands there than the hotfix was made for",
				name);
}

/* Is the code there that the hotfix was made for? */
static void check_code(const struct fitting *x, const struct vp_hotfix_function *f,
		       const struct vp_linux_function *at)
{
	uint8_t digest[VP_SHA256_SIZE];
	struct vp_err why = { "" };

	if (!f->expects)
		return;
	if (vp_hotfix_code_digest(x->l, at, digest, &why))
		vp_blockers_add(x->b, "%.80s: %s", f->old.name, why.text);
	else if (!memcmp(digest, f->expected, sizeof(digest)))
		return;
	else if (vp_linux_is_file(x->l))
		check_unbooted(x, f->old.name, at);
	else
		vp_blockers_add(x->b, "%.80s: other code stands there than the hotfix was made for",
				f->old.name);
}

/* -errno: the guest could not be looked at. */
static int check_function(const struct fitting *x, const struct vp_hotfix_function *f,
			  struct vp_linux_function *out, struct vp_err *err)
{
	struct vp_hotfix_which which;
	struct vp_err why = { "" };
	int rc;

	if (vp_hotfix_which(x->l, &f->old, &which, &why))
		return 0; /* the linker asks, too, and tells it */
	rc = vp_linux_function_find(x->l, which.name, which.nth, x->known, out, &why);
	switch (rc) {
	case 0:
		check_code(x, f, out);
		return 0;
	case -EBUSY:
	case -EAGAIN:
		check_code(x, f, out);
		/* fall through */
	case -ENOENT:
	case -EEXIST:
	case -EOPNOTSUPP:
	case -EBADMSG:
		vp_blockers_add(x->b, "%s", why.text);
		return 0;
	default:
		return vp_err_set(err, rc, "%s", why.text);
	}
}

/* Link, and see that nothing is out of reach. */
static int check_link(const struct fitting *x, const struct vp_linux_features *features, bool all,
		      struct vp_hotfix_link **out, struct vp_err *err)
{
	struct world w = { x->l, features, all };
	const struct vp_hotfix_world world = { &w, symbol, thunk, cpu_has, read_pointer };
	int rc = vp_hotfix_link_open(x->object, &world, out, x->b, err);

	return rc ? rc : vp_hotfix_link_try(*out, VP_GVA(TRY_AT), x->b, err);
}

/* For a file: with none of what a CPU may have, and with all, so that each alternative is tried. */
static int check_links(const struct fitting *x, struct vp_hotfix_fit *fit, struct vp_err *err)
{
	struct vp_hotfix_link *link = NULL;
	struct vp_err later = { "" };
	int rc = check_link(x, &fit->features, false, &fit->link, err), again = 0;

	if (vp_linux_is_file(x->l) && (!rc || rc == -ENOEXEC))
		again = check_link(x, &fit->features, true, &link, &later);
	vp_hotfix_link_close(link);
	return rc || !again ? rc : vp_err_set(err, again, "%s", later.text);
}

static int check_all(const struct fitting *x, struct vp_hotfix_fit *fit, struct vp_err *err)
{
	size_t had = x->b->added, kept = vp_blockers_kept(x->b);
	int rc = vp_linux_features_read(x->l, &fit->features, err);

	if (!rc)
		check_kernel(x->l, x->object, &fit->features, x->b);
	for (size_t i = 0; i < fit->about->nfunctions && !rc; i++)
		rc = check_function(x, &fit->about->functions[i], &fit->functions[i], err);
	if (!rc)
		rc = check_links(x, fit, err);
	if (!rc && x->b->added != had)
		rc = vp_err_set(err, -ENOEXEC, "%.200s",
				kept < vp_blockers_kept(x->b) ? x->b->list[kept].text
							      : "it does not fit");
	return rc;
}

static int fit_open(const struct fitting *x, struct vp_hotfix_fit **out, struct vp_err *err)
{
	struct vp_hotfix_fit *fit = calloc(1, sizeof(*fit));
	int rc;

	if (!fit)
		return vp_err_set(err, -ENOMEM, "out of memory");
	fit->about = vp_hotfix_object_about(x->object);
	fit->functions = calloc(fit->about->nfunctions, sizeof(*fit->functions));
	rc = fit->functions ? check_all(x, fit, err) : vp_err_set(err, -ENOMEM, "out of memory");
	if (rc)
		vp_hotfix_fit_close(fit);
	else
		*out = fit;
	return rc;
}

int vp_hotfix_fit_open(struct vp_linux *l, const struct vp_hotfix_object *object,
		       const struct vp_linux_ranges *known, struct vp_hotfix_fit **out,
		       struct vp_blockers *b, struct vp_err *err)
{
	const struct fitting x = { .l = l, .object = object, .known = known, .b = b };

	return fit_open(&x, out, err);
}

int vp_hotfix_fit_open_file(struct vp_linux *l, const struct vp_hotfix_object *object,
			    struct vp_hotfix_fit **out, struct vp_blockers *b,
			    struct vp_blockers *untold, struct vp_err *err)
{
	const struct fitting x = { .l = l, .object = object, .b = b, .untold = untold };

	vp_blockers_add(untold, "who has the entries: a tracer, a kprobe, a livepatch, another "
				"hotfix; or ftrace itself has disabled one");
	vp_blockers_add(untold, "what its CPU and mitigations make of the new code: it was linked "
				"for all CPU features and for none");
	vp_blockers_add(untold, "whether it counts calls (retbleed=stuff), can give memory, and "
				"who is inside of the functions");
	return fit_open(&x, out, err);
}

void vp_hotfix_fit_close(struct vp_hotfix_fit *fit)
{
	if (!fit)
		return;
	vp_hotfix_link_close(fit->link);
	free(fit->functions);
	free(fit);
}
