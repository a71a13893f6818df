/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/which.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "elf/symtab.h"
#include "hotfix/code.h"
#include "linux/file.h"

/* All symbols, by address: which have the name, and what stands beside them? */
struct search {
	const struct vp_hotfix_name *want;
	char before[VMPOKE_SYMBOL_MAX + 1]; /* the symbol before this one */
	vp_gva open;			    /* the one before, if it has the name; 0: it has not */
	unsigned int seen, fitting;
	struct vp_hotfix_which *found; /* the first that fits */
};

static void take(struct search *s, vp_gva at)
{
	if (s->fitting++)
		return;
	s->found->nth = s->seen;
	s->found->at = at;
}

static int see(void *arg, const char *name, vp_gva at)
{
	struct search *s = arg;
	bool beside = s->want->which == VMPOKE_WHICH_BESIDE;

	if (s->open.v && !strcmp(name, s->want->where))
		take(s, s->open);
	s->open.v = 0;
	if (!strcmp(name, s->want->name)) {
		s->seen++;
		if (beside ? !strcmp(s->before, s->want->where) : s->seen == s->want->number)
			take(s, at);
		else if (beside)
			s->open = at;
	}
	snprintf(s->before, sizeof(s->before), "%s", name);
	return 0;
}

static int by_search(const struct vp_linux *l, const struct vp_hotfix_name *name,
		     struct vp_hotfix_which *out, struct vp_err *err)
{
	struct search s = { .want = name, .found = out };

	vp_symtab_each(vp_linux_symbols(l), see, &s);
	if (!s.fitting && name->which == VMPOKE_WHICH_NTH)
		return vp_err_set(err, -ENOENT, "%.80s: the kernel has %u of that name, not %u",
				  name->name, s.seen, name->number);
	if (!s.fitting)
		return vp_err_set(err, -ENOENT, "%.80s: none stands beside %.80s", name->name,
				  name->where);
	if (s.fitting > 1)
		return vp_err_set(err, -EEXIST, "%.80s: several stand beside %.80s", name->name,
				  name->where);
	return 0;
}

/* By "module:symbol". */
static int of_module(const struct vp_linux *l, const struct vp_hotfix_name *name,
		     struct vp_hotfix_which *out, struct vp_err *err)
{
	if (vp_linux_is_file(l))
		return vp_err_set(err, -EOPNOTSUPP,
				  "it is of the module %.64s, and a file has the kernel only: ask "
				  "a guest that has the module",
				  name->where);
	snprintf(out->name, sizeof(out->name), "%s:%s", name->where, name->name);
	return vp_symtab_find(vp_linux_symbols(l), out->name, &out->at, err);
}

/* --- by what is global, and by code --------------------------------------------------------- */

/* Those of a name that the kernel itself has, or one module: how many, and which of them fit? */
struct among {
	struct vp_linux *l;
	const struct vp_hotfix_name *want;
	bool (*fits)(const struct among *a, vp_gva at);
	vp_gva wanted;	   /* for fits */
	uint64_t last;	   /* the address of the one before: of aliases one counts */
	unsigned int seen; /* all of that name, wherever they are */
	unsigned int there, fitting;
	struct vp_hotfix_which only, *found; /* the first that is there; that fits */
};

static bool fits_address(const struct among *a, vp_gva at)
{
	return at.v == a->wanted.v;
}

static bool fits_code(const struct among *a, vp_gva at)
{
	return vp_hotfix_code_is(a->l, at, a->want->expected);
}

/* Is @at of the module @where; "": of the kernel itself? */
static bool is_of(const struct vp_linux *l, vp_gva at, const char *where)
{
	uint64_t module;
	const char *name = vp_linux_module_of(l, at, &module);

	return !strcmp(name ? name : "", where);
}

static int see_among(void *arg, const char *name, vp_gva at)
{
	struct among *a = arg;

	if (strcmp(name, a->want->name) || (a->seen && at.v == a->last))
		return 0;
	a->last = at.v;
	a->seen++;
	if (!is_of(a->l, at, a->want->where))
		return 0;
	if (!a->there++) {
		a->only.nth = a->seen;
		a->only.at = at;
	}
	if (a->fits && a->fits(a, at) && !a->fitting++) {
		a->found->nth = a->seen;
		a->found->at = at;
	}
	return 0;
}

/*
 * The only one of that name in the kernel itself, or in the module: 0. -EEXIST: there are several.
 */
static int the_only_one(struct vp_linux *l, const struct vp_hotfix_name *name,
			struct vp_hotfix_which *out, struct vp_err *err)
{
	struct among a = { .l = l, .want = name };
	int rc;

	if (*name->where) {
		rc = of_module(l, name, out, err);
		if (rc == -EEXIST)
			snprintf(out->name, sizeof(out->name), "%s", name->name);
		return rc;
	}
	if (!vp_symtab_find(vp_linux_symbols(l), name->name, &out->at, NULL) &&
	    is_of(l, out->at, ""))
		return 0;
	vp_symtab_each(vp_linux_symbols(l), see_among, &a);
	if (!a.there)
		return vp_err_set(err, -ENOENT, "unknown symbol \"%.80s\"", name->name);
	if (a.there > 1)
		return vp_err_set(err, -EEXIST, "%u have that name", a.there);
	out->nth = a.only.nth;
	out->at = a.only.at;
	return 0;
}

static int by_global(struct vp_linux *l, const struct vp_hotfix_name *name,
		     struct vp_hotfix_which *out, struct vp_err *err)
{
	const struct vp_symtab *all = vp_linux_symbols(l);
	struct among a = { .l = l, .want = name, .fits = fits_address, .found = out };
	struct vp_err why = { "" };
	int rc = vp_symtab_find_global(all, name->name, &a.wanted, &why);
	vp_gva any;

	if (rc == -ENOENT)
		return vp_err_set(err, rc, "%s",
				  vp_symtab_find(all, name->name, &any, NULL) == -ENOENT
					  ? why.text
					  : "those of that name are local, or a module's");
	if (rc)
		return vp_err_set(err, rc, "%s", why.text);
	out->at = a.wanted;
	if (vp_symtab_find(all, name->name, &any, NULL))
		vp_symtab_each(all, see_among, &a);
	return 0;
}

static int by_code(struct vp_linux *l, const struct vp_hotfix_name *name,
		   struct vp_hotfix_which *out, struct vp_err *err)
{
	struct among a = { .l = l, .want = name, .fits = fits_code, .found = out };
	int rc = the_only_one(l, name, out, err);

	if (rc != -EEXIST)
		return rc;
	vp_symtab_each(vp_linux_symbols(l), see_among, &a);
	if (!a.fitting)
		return vp_err_set(err, -ESTALE,
				  "none of the %u of that name has the code that the hotfix was "
				  "made for",
				  a.there);
	if (a.fitting > 1)
		return vp_err_set(err, -EEXIST,
				  "%u of that name have the code that the hotfix was made for",
				  a.fitting);
	return 0;
}

static int by_use(struct vp_linux *l, const struct vp_hotfix_name *name,
		  struct vp_hotfix_which *out, struct vp_err *err)
{
	struct among a = { .l = l, .want = name, .fits = fits_address, .found = out };
	const char *user = name->use->function.name;
	struct vp_hotfix_which function;
	struct vp_err why = { "" };
	int rc = the_only_one(l, name, out, err);

	if (rc != -EEXIST)
		return rc;
	rc = vp_hotfix_which(l, &name->use->function, &function, &why);
	if (!rc)
		rc = vp_hotfix_code_leads(l, name->use, function.at, &a.wanted, &why);
	if (rc)
		return vp_err_set(err, rc == -ENOENT || rc == -EEXIST ? -ESTALE : rc,
				  "which one is told by %.40s: %.80s", user, why.text);
	vp_symtab_each(vp_linux_symbols(l), see_among, &a);
	return a.fitting ? 0
			 : vp_err_set(err, -ESTALE, "what %.40s uses is none of the %u", user,
				      a.there);
}

int vp_hotfix_which(struct vp_linux *l, const struct vp_hotfix_name *name,
		    struct vp_hotfix_which *out, struct vp_err *err)
{
	*out = (struct vp_hotfix_which){ .nth = 0 };
	snprintf(out->name, sizeof(out->name), "%s", name->name);
	switch (name->which) {
	case VMPOKE_WHICH_MODULE:
		return of_module(l, name, out, err);
	case VMPOKE_WHICH_ONLY:
		return vp_symtab_find(vp_linux_symbols(l), out->name, &out->at, err);
	case VMPOKE_WHICH_NTH:
	case VMPOKE_WHICH_BESIDE:
		return by_search(l, name, out, err);
	case VMPOKE_WHICH_GLOBAL:
		return by_global(l, name, out, err);
	case VMPOKE_WHICH_CODE:
		return by_code(l, name, out, err);
	case VMPOKE_WHICH_USED:
		return by_use(l, name, out, err);
	case VMPOKE_WHICH_FILE:
		break;
	}
	return vp_err_set(err, -EOPNOTSUPP,
			  "%.80s of %.80s: a running kernel does not tell source files; say which "
			  "one by its place among those of that name, or by the symbol beside it",
			  name->name, name->where);
}
