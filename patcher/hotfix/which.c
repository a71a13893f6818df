/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/which.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

int vp_hotfix_which(const struct vp_linux *l, const struct vp_hotfix_name *name,
		    struct vp_hotfix_which *out, struct vp_err *err)
{
	*out = (struct vp_hotfix_which){ .nth = 0 };
	snprintf(out->name, sizeof(out->name), "%s", name->name);
	switch (name->which) {
	case VMPOKE_WHICH_MODULE:
		if (vp_linux_is_file(l))
			return vp_err_set(err, -EOPNOTSUPP,
					  "it is of the module %.64s, and a file has the kernel "
					  "only: ask a guest that has the module",
					  name->where);
		snprintf(out->name, sizeof(out->name), "%s:%s", name->where, name->name);
		/* fall through */
	case VMPOKE_WHICH_ONLY:
		return vp_symtab_find(vp_linux_symbols(l), out->name, &out->at, err);
	case VMPOKE_WHICH_NTH:
	case VMPOKE_WHICH_BESIDE:
		return by_search(l, name, out, err);
	case VMPOKE_WHICH_FILE:
		break;
	}
	return vp_err_set(err, -EOPNOTSUPP,
			  "%.80s of %.80s: a running kernel does not tell source files; say which "
			  "one by its place among those of that name, or by the symbol beside it",
			  name->name, name->where);
}
