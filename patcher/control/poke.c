/* SPDX-License-Identifier: Apache-2.0 */
/* The command poke: a batch from JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

static int parse_resume(const char *name, bool has_fixup, enum vp_resume *out, struct vp_err *err)
{
	enum vp_resume r = has_fixup ? VP_RESUME_FIXUP : VP_RESUME_PARK;

	if (name) {
		for (r = VP_RESUME_PARK; r <= VP_RESUME_FIXUP; r++)
			if (!strcmp(name, vp_resume_name(r)))
				break;
		if (r > VP_RESUME_FIXUP)
			return vp_err_set(err, -EINVAL, "resume must be park, emulate or fixup");
	}
	if (has_fixup != (r == VP_RESUME_FIXUP))
		return vp_err_set(err, -EINVAL, "%s",
				  has_fixup ? "a fixup address needs resume fixup"
					    : "resume fixup needs a fixup address");
	*out = r;
	return 0;
}

static int parse_site(struct vp_control *c, const json_t *json, struct vp_site *s,
		      struct vp_err *err)
{
	const char *old_text, *new_text, *resume = NULL;
	json_t *addr, *fixup = NULL;
	size_t old_len = 0, new_len = 0;
	int ret;

	ret = vp_args_unpack(json, err, "{s:o, s:s, s:s, s?s, s?o}", "addr", &addr, "old",
			     &old_text, "new", &new_text, "resume", &resume, "fixup", &fixup);
	if (!ret)
		ret = vp_args_addr(c, addr, &s->addr, err);
	if (!ret)
		ret = vp_hex_parse("old", old_text, s->old_bytes, VP_INSN_MAX, &old_len, err);
	if (!ret)
		ret = vp_hex_parse("new", new_text, s->new_bytes, VP_INSN_MAX, &new_len, err);
	if (!ret && old_len != new_len)
		ret = vp_err_set(err, -EINVAL,
				 "old has %zu bytes, new has %zu: make them the same length",
				 old_len, new_len);
	if (!ret)
		ret = parse_resume(resume, fixup != NULL, &s->resume, err);
	if (!ret && fixup)
		ret = vp_args_addr(c, fixup, &s->fixup, err);
	if (!ret)
		s->len = (uint8_t)old_len;
	return ret;
}

static int parse_sites(struct vp_control *c, const json_t *list, struct vp_site **out, size_t *n,
		       struct vp_err *err)
{
	struct vp_err why;
	size_t i;
	int ret;

	*n = json_array_size(list); /* 0 also for what is not an array */
	if (!*n)
		return vp_err_set(err, -EINVAL, "sites must be an array that is not empty");
	*out = calloc(*n, sizeof(**out));
	if (!*out)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (i = 0; i < *n; i++) {
		ret = parse_site(c, json_array_get(list, i), &(*out)[i], &why);
		if (!ret)
			ret = vp_control_boundary(c, (*out)[i].addr, &why);
		if (ret)
			return vp_err_set(err, ret, "site %zu: %.240s", i, why.text);
	}
	return 0;
}

/*
 * Who wants int3 and forces it gets it, where the words of ftrace's records need every vCPU held:
 * they are left as they are.
 */
static void leave_ftrace(const struct vp_write_args *w, struct vp_linux_care *care)
{
	if (!care->stop || !w->strategy || strcmp(w->strategy, vp_strategy_name(VP_STRATEGY_INT3)))
		return;
	care->stop = false;
	care->nwords = 0;
	vp_err_set(
		&care->forced, 0,
		"ftrace is not told, which strategy int3 cannot do: tracing ends for good in the "
		"guest if it starts before the revert");
}

/* Where it leads; @forced: that it leads nowhere good is no error then, but to be told. */
static int check_leads(struct vp_control *c, const struct vp_site *sites, size_t n, bool force,
		       struct vp_err *forced, struct vp_err *err)
{
	struct vp_err why;
	int rc = vp_control_leads(c, sites, n, &why);

	if (force && (rc == -EINVAL || rc == -EFAULT)) {
		vp_err_set(forced, 0, "%s", why.text);
		return 0;
	}
	return rc ? vp_err_set(err, rc, "%.220s (or --force)", why.text) : 0;
}

/*
 * Where other bytes stand than the batch says, that is the reason, not their owner. And what
 * --force is no help against comes before where it leads.
 */
static void prefer_engine(struct vp_control *c, const struct vp_write_args *w,
			  const struct vp_control_batch *batch, int *code, struct vp_err *err)
{
	struct vp_write_args dry = *w;
	struct vp_err why;
	bool leads = *code == -EINVAL || *code == -EFAULT;
	int rc = 0;

	dry.dry_run = true;
	if (leads || *code == -EBUSY || *code == -EOPNOTSUPP)
		json_decref(vp_control_apply(c, "poke", &dry, batch, &rc, &why));
	if (rc != -ESTALE && !(rc && leads))
		return;
	*code = rc;
	vp_err_set(err, rc, "%s", why.text);
}

/* See where it leads and whose bytes they are, and apply it. */
static json_t *poke(struct vp_control *c, const struct vp_write_args *w,
		    const struct vp_site *sites, size_t n, bool force, int *code,
		    struct vp_err *err)
{
	struct vp_control_batch batch = { .sites = sites, .nsites = n, .force = force };
	struct vp_err forced = { "" };
	struct vp_linux_care care;
	json_t *ret = NULL;

	*code = check_leads(c, sites, n, force, &forced, err);
	if (!*code)
		*code = vp_control_care(c, sites, n, force, &care, err);
	if (*code) {
		prefer_engine(c, w, &batch, code, err);
		return NULL;
	}
	if (force)
		leave_ftrace(w, &care);
	if (forced.text[0] && care.forced.text[0])
		vp_err_set(&forced, 0, "%.120s; %.120s", forced.text, care.forced.text);
	else if (!forced.text[0])
		forced = care.forced;
	batch.words = care.words;
	batch.nwords = care.nwords;
	batch.stop = care.stop;
	batch.forced = forced.text;
	ret = vp_control_apply(c, "poke", w, &batch, code, err);
	if (ret && forced.text[0])
		json_object_set_new(ret, "forced", vp_qmp_text(forced.text));
	vp_linux_care_free(&care);
	return ret;
}

/* --- what stands there already ------------------------------------------------- */

struct already {
	size_t n, first; /* how many sites have their new bytes, and the first of them */
};

/* These get the new bytes as their old ones. */
static struct already look_for_new(struct vp_control *c, struct vp_site *sites, size_t n)
{
	struct vp_view view = { .ahead = VP_STANDING_AHEAD };
	struct already a = { 0 };
	uint8_t now[VP_INSN_MAX];

	for (size_t i = 0; i < n; i++) {
		struct vp_site *s = &sites[i];

		if (vp_control_read_near(c, &view, s->addr, now, s->len, NULL) ||
		    memcmp(now, s->new_bytes, s->len) != 0)
			continue;
		memcpy(s->old_bytes, now, s->len);
		if (!a.n++)
			a.first = i;
	}
	vp_view_free(&view);
	return a;
}

static bool has_written(const struct vp_applied *a, const struct vp_site *sites, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct vp_site *s = vp_applied_over(a, &sites[i]);

		if (!s || s->addr.v != sites[i].addr.v || s->len != sites[i].len ||
		    memcmp(s->new_bytes, sites[i].new_bytes, s->len) != 0)
			return false;
	}
	return true;
}

/*
 * The newest batch that is recorded as applied and wrote these bytes; 0: none. What stands in the
 * memory is no proof that we put it there.
 */
static uint64_t writer_of(struct vp_control *c, const struct vp_site *sites, size_t n)
{
	struct vp_applied *list = NULL;
	size_t nlist = 0;
	uint64_t id = 0;

	if (vp_control_applied(c, false, &list, &nlist, NULL))
		return 0;
	for (size_t i = nlist; i-- && !id;)
		if (has_written(&list[i], sites, n))
			id = list[i].id;
	vp_control_applied_free(list, nlist);
	return id;
}

/*
 * The answer to a poke that changes nothing, as all that is to be written stands there: nothing is
 * written, nor recorded. All checks are made with it as what is to be replaced. NULL: it is no such
 * poke; @a tells what of it is so.
 */
static json_t *already_so(struct vp_control *c, const struct vp_write_args *w,
			  const struct vp_site *sites, size_t n, struct already *a)
{
	struct vp_site *same = calloc(n, sizeof(*same));
	struct vp_control_batch batch = { .sites = same, .nsites = n };
	struct vp_write_args dry = *w;
	json_t *ret = NULL;
	uint64_t by = 0;
	int code;

	*a = (struct already){ 0 };
	if (!same)
		return NULL;
	memcpy(same, sites, n * sizeof(*same));
	*a = look_for_new(c, same, n);
	dry.dry_run = true;
	if (a->n == n)
		ret = vp_control_apply(c, "poke", &dry, &batch, &code, NULL);
	if (ret) {
		by = writer_of(c, same, n);
		json_object_update_new(ret, json_pack("{s:i, s:b, s:b}", "sites", 0, "dry-run",
						      w->dry_run, "already", true));
	}
	if (by)
		json_object_set_new(ret, "by", json_integer((json_int_t)by));
	free(same);
	return ret;
}

static bool changes_nothing(const struct vp_site *sites, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(sites[i].old_bytes, sites[i].new_bytes, sites[i].len) != 0)
			return false;
	return true;
}

/* Not one byte was written, for a reason that what stands there may be behind, or be proof against.
 */
static bool was_refused(int code)
{
	return code == -ESTALE || code == -EBUSY || code == -EOPNOTSUPP || code == -EINVAL ||
	       code == -EFAULT;
}

/* Apply it, unless it is so already. */
static json_t *poke_or_not(struct vp_control *c, const struct vp_write_args *w,
			   const struct vp_site *sites, size_t n, bool force, int *code,
			   struct vp_err *err)
{
	struct vp_patience patience = { 0 };
	struct already a = { 0 };
	struct vp_err why;
	json_t *ret = changes_nothing(sites, n) ? already_so(c, w, sites, n, &a) : NULL;

	if (ret)
		return ret;
	do
		ret = poke(c, w, sites, n, force, code, &why);
	while (vp_control_again(&patience, w, *code));
	if (!*code)
		return ret;
	if (was_refused(*code))
		ret = already_so(c, w, sites, n, &a);
	if (ret)
		*code = 0;
	else if (a.n && a.n < n)
		vp_err_set(err, *code,
			   "%.140s; %zu of the %zu sites (the first: site %zu) have their new "
			   "bytes already",
			   why.text, a.n, n, a.first);
	else
		vp_err_set(err, *code, "%s", why.text);
	return ret;
}

/* --- the command ---------------------------------------------------------------- */

json_t *vp_control_poke(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_write_args w = { 0 };
	struct vp_site *sites = NULL;
	json_t *list, *ret = NULL;
	int force = 0;
	size_t n = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:o, s?b, " VP_WRITE_ARGS_FMT "}", "sites", &list,
			       "force", &force, VP_WRITE_ARGS(&w));
	if (!*code)
		*code = vp_control_may_write(c, err);
	if (!*code)
		*code = parse_sites(c, list, &sites, &n, err);
	if (!*code)
		ret = poke_or_not(c, &w, sites, n, force, code, err);
	free(sites);
	return ret;
}
