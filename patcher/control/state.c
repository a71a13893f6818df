/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the commands' state, and what stands in the way of writing. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/internal.h"

#define LEDGER_WAIT_MS 10000u

int vp_control_new(const struct vp_control_config *cfg, struct vp_control **out, struct vp_err *err)
{
	struct vp_control *c = calloc(1, sizeof(*c));

	if (!c) {
		vp_linux_free(cfg->kernel);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	c->cfg = *cfg;
	c->linux_guest = cfg->kernel;
	if (cfg->short_lived)
		vp_control_ledger(c, NULL);
	*out = c;
	return 0;
}

/* A file that cannot be written, or locked, can perhaps be looked at. */
static int open_ledger(struct vp_control *c)
{
	unsigned int wait_ms = c->cfg.ledger_wait_ms ? c->cfg.ledger_wait_ms : LEDGER_WAIT_MS;
	int rc = vp_ledger_open(c->cfg.ledger, wait_ms, &c->ledger, &c->why_no_ledger);

	if (!rc) /* what a VM of an earlier life left behind is gone with it */
		return c->cfg.boot && !c->cfg.short_lived && vp_ledger_is_damaged(c->ledger)
			       ? vp_ledger_put_aside(c->ledger, NULL, &c->why_no_ledger)
			       : 0;
	c->no_look = false;
	if (c->cfg.short_lived)
		c->no_look = vp_ledger_open_to_look(c->cfg.ledger, &c->ledger, NULL) &&
			     access(c->cfg.ledger, F_OK) == 0;
	return rc;
}

int vp_control_ledger(struct vp_control *c, struct vp_err *err)
{
	if (!c->cfg.ledger || (c->ledger && !c->no_ledger))
		return 0;
	/* Where it is opened at once that was tried before. */
	if (!c->no_ledger || !c->cfg.short_lived)
		c->no_ledger = open_ledger(c);
	return c->no_ledger ? vp_err_set(err, c->no_ledger, "%s", c->why_no_ledger.text) : 0;
}

int vp_control_may_write(struct vp_control *c, struct vp_err *err)
{
	int rc = vp_control_ledger(c, err);

	if (c->half)
		return vp_err_set(err, c->half, "%s", c->why_half.text);
	if (!rc && c->ledger && vp_ledger_trouble(c->ledger))
		rc = vp_err_set(err, -EBADMSG, "%s", vp_ledger_trouble(c->ledger));
	return rc;
}

void vp_control_interrupted(struct vp_control *c, const char *why)
{
	c->half = vp_err_set(&c->why_half, -EUCLEAN, "%s", why);
}

const char *vp_control_attention(const struct vp_control *c)
{
	if (c->half)
		return c->why_half.text;
	if (c->no_ledger)
		return c->why_no_ledger.text;
	return c->ledger ? vp_ledger_trouble(c->ledger) : NULL;
}

int vp_control_vm(struct vp_control *c, struct vp_ledger_vm *vm, struct vp_err *err)
{
	struct vp_linux *l = NULL;
	int rc = vp_control_boot(c, &vm->boot, err);

	vm->process = c->cfg.process;
	vm->build_id = !rc && !vp_control_linux(c, &l, NULL) ? vp_linux_info(l)->build_id : NULL;
	return rc;
}

void vp_control_free(struct vp_control *c)
{
	if (!c)
		return;
	vp_ledger_close(c->ledger);
	vp_linux_free(c->linux_guest);
	free(c);
}

struct vp_linux *vp_control_take_kernel(struct vp_control *c)
{
	struct vp_linux *kernel = c->linux_guest;

	c->linux_guest = NULL;
	return kernel;
}

void *vp_control_host(const struct vp_control *c)
{
	return c->cfg.host;
}
