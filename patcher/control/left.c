/* SPDX-License-Identifier: Apache-2.0 */
/* What of a batch is left to be taken back. */
#include <errno.h>
#include <stdlib.h>

#include "control/internal.h"

static int sites_left(struct vp_control *c, const struct vp_applied *a, bool *gone,
		      struct vp_left *out, struct vp_err *err)
{
	struct vp_view view = { .ahead = VP_STANDING_AHEAD };
	int rc = 0;

	for (size_t i = 0; i < a->nsites && !rc; i++) {
		enum vp_standing s = VP_STANDS_OTHER;

		rc = vp_control_standing(c, &view, &a->sites[i], &a->was[i], &s, err);
		gone[i] = s == VP_STANDS_GONE;
		if (gone[i])
			out->gone++;
		else if (s == VP_STANDS_OLD)
			out->old++;
		else /* if neither stands there, planning the revert will say so */
			out->sites[out->nsites++] = a->sites[i];
	}
	vp_view_free(&view);
	return rc;
}

bool vp_words_are_record(const struct vp_word *w, size_t left, vp_gva *site)
{
	if (left < 3 || !vp_word_is_condition(&w[0]) || !vp_word_is_condition(&w[1]) ||
	    vp_word_is_condition(&w[2]) || w[1].addr.v != w[0].addr.v + 4)
		return false;
	site->v = w[0].old_value | (uint64_t)w[1].old_value << 32;
	return true;
}

/* Is that of a site that is gone? With the site it was freed, and the memory is another's by now.
 */
static bool record_is_gone(const struct vp_applied *a, size_t i, const bool *gone)
{
	vp_gva site;

	if (!vp_words_are_record(&a->words[i], a->nwords - i, &site))
		return false;
	for (size_t k = 0; k < a->nsites; k++)
		if (gone[k] && a->sites[k].addr.v == site.v)
			return true;
	return false;
}

static int words_left(struct vp_control *c, const struct vp_applied *a, const bool *gone,
		      struct vp_left *out, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < a->nwords && !rc; i++) {
		enum vp_standing s = VP_STANDS_NEW;

		if (record_is_gone(a, i, gone)) {
			i += 2;
			continue;
		}
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
	bool *gone = calloc(a->nsites + 1, sizeof(*gone));
	int rc;

	*out = (struct vp_left){
		.sites = calloc(a->nsites + 1, sizeof(*out->sites)),
		.words = calloc(a->nwords + 1, sizeof(*out->words)),
	};
	rc = gone && out->sites && out->words ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = sites_left(c, a, gone, out, err);
	if (!rc)
		rc = words_left(c, a, gone, out, err);
	free(gone);
	if (rc)
		vp_left_clear(out);
	return rc;
}

void vp_left_clear(struct vp_left *left)
{
	free(left->sites);
	free(left->words);
	*left = (struct vp_left){ 0 };
}
