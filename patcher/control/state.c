/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the commands' state. */
#include <errno.h>
#include <stdlib.h>

#include "control/internal.h"

#define LEDGER_WAIT_MS 10000u

int vp_control_new(const struct vp_control_config *cfg, struct vp_control **out, struct vp_err *err)
{
	struct vp_control *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return vp_err_set(err, -ENOMEM, "out of memory");
	c->cfg = *cfg;
	if (cfg->short_lived)
		rc = vp_control_ledger(c, err);
	if (rc)
		vp_control_free(c);
	else
		*out = c;
	return rc;
}

int vp_control_ledger(struct vp_control *c, struct vp_err *err)
{
	if (c->ledger || !c->cfg.ledger)
		return 0;
	return vp_ledger_open(c->cfg.ledger, LEDGER_WAIT_MS, &c->ledger, err);
}

void vp_control_free(struct vp_control *c)
{
	if (!c)
		return;
	vp_ledger_close(c->ledger);
	vp_linux_free(c->linux_guest);
	free(c);
}

void *vp_control_host(const struct vp_control *c)
{
	return c->cfg.host;
}
