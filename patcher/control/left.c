/* SPDX-License-Identifier: Apache-2.0 */
/* What of a batch is left to be taken back. */
#include <errno.h>
#include <stdlib.h>

#include "control/internal.h"

static int sites_left(struct vp_control *c, const struct vp_applied *a, struct vp_left *out,
		      struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < a->nsites && !rc; i++) {
		enum vp_standing s = VP_STANDS_OTHER;

		rc = vp_control_standing(c, &a->sites[i], &a->was[i], &s, err);
		if (s == VP_STANDS_GONE)
			out->gone++;
		else if (s == VP_STANDS_OLD)
			out->old++;
		else /* if neither stands there, planning the revert will say so */
			out->sites[out->nsites++] = a->sites[i];
	}
	return rc;
}

static int words_left(struct vp_control *c, const struct vp_applied *a, struct vp_left *out,
		      struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < a->nwords && !rc; i++) {
		enum vp_standing s = VP_STANDS_NEW;

		if (!vp_word_is_condition(&a->words[i]))
			rc = vp_control_word_standing(c, &a->words[i], &s, err);
		if (s != VP_STANDS_OLD && s != VP_STANDS_GONE)
			out->words[out->nwords++] = a->words[i];
	}
	return rc;
}

int vp_control_left(struct vp_control *c, const struct vp_applied *a, struct vp_left *out,
		    struct vp_err *err)
{
	int rc;

	*out = (struct vp_left){
		.sites = calloc(a->nsites + 1, sizeof(*out->sites)),
		.words = calloc(a->nwords + 1, sizeof(*out->words)),
	};
	rc = out->sites && out->words ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = sites_left(c, a, out, err);
	if (!rc)
		rc = words_left(c, a, out, err);
	if (rc)
		vp_left_clear(out);
	return rc;
}

void vp_left_clear(struct vp_left *left)
{
	free(left->sites);
	free(left->words);
	left->sites = NULL;
	left->words = NULL;
}
