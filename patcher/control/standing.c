/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at the sites of a batch: the memory decides, not the ledger. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"

const char *vp_standing_name(enum vp_standing s)
{
	static const char *const names[] = {
		[VP_STANDS_OLD] = "old",   [VP_STANDS_NEW] = "new",
		[VP_STANDS_HALF] = "half", [VP_STANDS_OTHER] = "other",
		[VP_STANDS_GONE] = "gone", [VP_STANDS_UNMAPPED] = "unmapped",
	};

	return names[s];
}

struct vp_module_was vp_module_was_of(const json_t *site)
{
	const char *name = json_string_value(json_object_get(site, "module"));
	const char *at = json_string_value(json_object_get(site, "module-at"));

	return (struct vp_module_was){ name ? name : "", at ? strtoull(at, NULL, 16) : 0 };
}

static bool in_image(struct vp_linux *l, vp_gva addr)
{
	const struct vp_linux_kernel *i = vp_linux_info(l);

	return addr.v >= i->text.v && addr.v < i->end.v;
}

/* The kernel's half, but not its image: modules lie there, and go. */
static struct vp_linux *module_space(struct vp_control *c, vp_gva addr)
{
	struct vp_linux *l = NULL;

	if ((int64_t)addr.v >= 0 || vp_control_linux(c, &l, NULL) || in_image(l, addr))
		return NULL;
	return l;
}

/* Is it certain that @module, which was loaded when the batch was made, is not there any more? */
static bool is_unloaded(struct vp_linux *l, vp_gva addr, const struct vp_module_was *was)
{
	uint64_t at = 0;
	const char *name = vp_linux_module_of(l, addr, &at);

	if (!name)
		return vp_linux_module_count(l) != 0;
	return at != was->at || strcmp(name, was->name) != 0;
}

static enum vp_standing compare(const struct vp_site *s, const uint8_t *now)
{
	if (!memcmp(now, s->old_bytes, s->len))
		return VP_STANDS_OLD;
	if (!memcmp(now, s->new_bytes, s->len))
		return VP_STANDS_NEW;
	for (size_t i = 0; i < s->len; i++)
		if (now[i] != s->old_bytes[i] && now[i] != s->new_bytes[i])
			return VP_STANDS_OTHER;
	return VP_STANDS_HALF;
}

int vp_control_standing(struct vp_control *c, struct vp_view *view, const struct vp_site *s,
			const struct vp_module_was *was, enum vp_standing *out, struct vp_err *err)
{
	struct vp_linux *l = module_space(c, s->addr);
	struct vp_err why = { "" };
	uint8_t now[VP_INSN_MAX];
	int rc = vp_control_read_near(c, view, s->addr, now, s->len, &why);

	*out = VP_STANDS_UNMAPPED;
	if (rc && rc != -EFAULT)
		return vp_err_set(err, rc, "%s", why.text);
	if (l && (rc || (was && *was->name && is_unloaded(l, s->addr, was)))) {
		*out = VP_STANDS_GONE;
		return 0;
	}
	if (!rc)
		*out = compare(s, now);
	return 0;
}

int vp_control_word_standing(struct vp_control *c, const struct vp_word *w, enum vp_standing *out,
			     struct vp_err *err)
{
	struct vp_site as_site = { .addr = w->addr, .len = sizeof(w->old_value) };

	memcpy(as_site.old_bytes, &w->old_value, sizeof(w->old_value));
	memcpy(as_site.new_bytes, &w->new_value, sizeof(w->new_value));
	return vp_control_standing(c, NULL, &as_site, NULL, out, err);
}
