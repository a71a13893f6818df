/* SPDX-License-Identifier: Apache-2.0 */
/* The guest: what it runs, its names, reading its memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "elf/symtab.h"
#include "linux/internal.h"

/* A guest that was booted anew has its kernel elsewhere, or it is another one. */
static bool still_there(struct vp_linux *l)
{
	const struct vp_linux_kernel *info = vp_linux_info(l);
	char text[64];
	vp_gva banner;
	size_t len = strlen(info->banner);

	if (len > sizeof(text))
		len = sizeof(text);
	return vp_linux_still_runs(l) &&
	       !vp_symtab_find(vp_linux_symbols(l), "linux_banner", &banner, NULL) &&
	       !vp_linux_read(l, banner, text, len, NULL) && !memcmp(text, info->banner, len);
}

void vp_control_refresh(struct vp_control *c)
{
	if (c->cfg.short_lived && c->refreshed)
		return;
	c->refreshed = true;
	c->no_linux = 0;
	if (!c->linux_guest ||
	    (still_there(c->linux_guest) && !vp_linux_refresh(c->linux_guest, NULL)))
		return;
	vp_linux_free(c->linux_guest);
	c->linux_guest = NULL;
}

int vp_control_linux(struct vp_control *c, struct vp_linux **out, struct vp_err *err)
{
	const struct vp_linux_opts opts = { c->cfg.kernel_file };

	if (c->cfg.symbols)
		return vp_err_set(err, -ENOENT, "the guest does not run Linux");
	if (!c->linux_guest && !c->no_linux)
		c->no_linux =
			vp_linux_open(c->cfg.target, &opts, &c->linux_guest, &c->why_no_linux);
	if (c->no_linux)
		return vp_err_set(err, c->no_linux, "%s", c->why_no_linux.text);
	*out = c->linux_guest;
	return 0;
}

const struct vp_symtab *vp_control_symbols(struct vp_control *c)
{
	struct vp_linux *l = NULL;

	if (c->cfg.symbols)
		return c->cfg.symbols;
	return vp_control_linux(c, &l, NULL) ? NULL : vp_linux_symbols(l);
}

const char *vp_control_name(struct vp_control *c, vp_gva addr, uint64_t *offset)
{
	struct vp_linux *l = NULL;

	if (c->cfg.symbols)
		return vp_symtab_nearest(c->cfg.symbols, addr, offset);
	return vp_control_linux(c, &l, NULL) ? NULL : vp_linux_nearest(l, addr, offset);
}

bool vp_control_end(struct vp_control *c, vp_gva addr, vp_gva *end)
{
	const struct vp_symtab *tab = vp_control_symbols(c);
	uint64_t offset = 0, last = 0;

	if (!vp_control_name(c, addr, &offset) || !vp_symtab_end(tab, addr, end))
		return false;
	/* In Linux the next symbol may be another module's, with something else in between. */
	return c->cfg.symbols || (vp_control_name(c, VP_GVA(end->v - 1), &last) &&
				  end->v - 1 - last == addr.v - offset);
}

/* No kernel is an answer; that it could not be looked at is none. */
static int linux_or_none(struct vp_control *c, struct vp_linux **out, struct vp_err *err)
{
	int rc = vp_control_linux(c, out, err);

	if (rc == -ENOENT && !c->cfg.kernel_file) {
		*out = NULL;
		rc = 0;
	}
	return rc;
}

/* The upper half is the kernel's, and the same for all. */
int vp_control_space(struct vp_control *c, vp_gva addr, const struct vp_paging **out,
		     struct vp_err *err)
{
	struct vp_linux *l = NULL;
	int rc = (int64_t)addr.v < 0 ? linux_or_none(c, &l, err) : 0;

	*out = l ? &vp_linux_info(l)->space : NULL;
	return rc;
}

int vp_control_care(struct vp_control *c, const struct vp_site *sites, size_t n, bool force,
		    struct vp_linux_care *out, struct vp_err *err)
{
	struct vp_linux *l = NULL;
	bool any = false;
	int rc;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		any |= (int64_t)sites[i].addr.v < 0;
	rc = any ? linux_or_none(c, &l, err) : 0;
	return rc || !l ? rc : vp_linux_poke_plan(l, sites, n, force, out, err);
}

int vp_control_boot(struct vp_control *c, uint64_t *out, struct vp_err *err)
{
	struct vp_linux *l = NULL;
	int rc = c->cfg.boot ? 0 : linux_or_none(c, &l, err);

	*out = l ? vp_linux_info(l)->boot : c->cfg.boot;
	return rc;
}

int vp_control_read_near(struct vp_control *c, struct vp_view *view, vp_gva addr, void *buf,
			 size_t len, struct vp_err *err)
{
	const struct vp_paging *space;
	int rc = vp_control_space(c, addr, &space, err);

	if (rc || space)
		return rc ? rc : vp_view_read(c->linux_guest, view, addr.v, buf, len, err);
	return vp_engine_read(c->cfg.engine, -1, addr, buf, len, err);
}

int vp_control_read(struct vp_control *c, vp_gva addr, void *buf, size_t len, struct vp_err *err)
{
	return vp_control_read_near(c, NULL, addr, buf, len, err);
}
