/* SPDX-License-Identifier: Apache-2.0 */
/* Which batch is taken back. */
#include <errno.h>

#include "control/internal.h"

static bool sites_meet(const struct vp_applied *a, const struct vp_applied *b)
{
	for (size_t i = 0; i < a->nsites; i++)
		if (vp_applied_over(b, &a->sites[i]))
			return true;
	return false;
}

/* The newest that is recorded as applied; 0: none is. */
static uint64_t newest(const struct vp_applied *list, size_t n)
{
	while (n--)
		if (list[n].fate == VP_FATE_APPLIED)
			return list[n].id;
	return 0;
}

/* The batch with this number, 0: the newest; and nothing newer may cover it. */
static int find(const struct vp_applied *list, size_t n, uint64_t id, const struct vp_applied **out,
		struct vp_err *err)
{
	size_t i = n;

	if (!id)
		id = newest(list, n);
	if (!id)
		return vp_err_set(err, -ENOENT,
				  "nothing is applied: there is nothing to revert; what stands "
				  "without a record (see `status`) is taken back by its number");
	while (i && list[i - 1].id != id)
		i--;
	if (!i)
		return vp_err_set(
			err, -ENOENT,
			"no batch %llu is applied: `status` shows those that are, `status "
			"--history` what became of the others",
			(unsigned long long)id);
	*out = &list[i - 1];
	for (size_t j = n; j > i; j--)
		if (sites_meet(*out, &list[j - 1]))
			return vp_err_set(err, -EBUSY,
					  "batch %llu touches the same bytes and is newer: revert "
					  "that one first",
					  (unsigned long long)list[j - 1].id);
	return 0;
}

/*
 * A hotfix has memory in the guest, too. But where nothing of it stands any more (it was removed
 * from another host) only the ledger is to be told.
 */
static int refuse_hotfix(struct vp_control *c, const struct vp_applied *a, struct vp_err *err)
{
	const char *name =
		json_string_value(json_object_get(json_object_get(a->line, "hotfix"), "name"));
	struct vp_left left;
	int rc = name ? vp_control_left(c, a, &left, err) : 0;

	if (rc || !name)
		return rc;
	if (left.nsites)
		rc = vp_err_set(err, -EBUSY,
				"batch %llu is hotfix %.64s, which has memory in the guest: use "
				"`vmpoke hotfix remove TARGET %.64s`",
				(unsigned long long)a->id, name, name);
	vp_left_clear(&left);
	return rc;
}

json_t *vp_control_revert(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	const struct vp_applied *which = NULL;
	struct vp_applied *list = NULL;
	struct vp_write_args w = { 0 };
	struct vp_patience patience = { 0 };
	json_t *number = NULL, *ret = NULL;
	uint64_t id = 0;
	size_t n = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s?o, " VP_WRITE_ARGS_FMT "}", "id", &number,
			       VP_WRITE_ARGS(&w));
	if (!*code)
		*code = vp_args_number(number, "id", 1, INT64_MAX, &id, err);
	if (!*code)
		*code = vp_control_may_write(c, err);
	if (!*code)
		*code = vp_control_applied(c, id != 0, &list, &n, err);
	if (!*code)
		*code = find(list, n, id, &which, err);
	if (!*code)
		*code = refuse_hotfix(c, which, err);
	if (!*code)
		do
			ret = vp_control_take_back(c, &w, which, code, err);
		while (vp_control_again(&patience, &w, *code));
	vp_control_applied_free(list, n);
	return ret;
}
