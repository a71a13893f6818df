/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the commands' state, and their table. */
#include <errno.h>
#include <stdlib.h>

#include "control/internal.h"

const struct vp_qmp_command vp_control_commands[] = {
	{ "resolve-symbol", vp_control_resolve_symbol },
	{ "read-memory", vp_control_read_memory },
	{ "query-registers", vp_control_query_registers },
	{ "query-symbols", vp_control_query_symbols },
	{ "query-kernel", vp_control_query_kernel },
	{ "query-pokes", vp_control_query_pokes },
	{ "query-ledger", vp_control_query_ledger },
	{ "query-keys", vp_control_query_keys },
	{ "poke", vp_control_poke },
	{ "revert", vp_control_revert },
	{ "key-set", vp_control_key_set },
	{ NULL, NULL },
};

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

static json_t *stats_json(struct vp_engine *engine)
{
	struct vp_poke_stats s;

	vp_engine_stats(engine, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}}", "batches",
			 (json_int_t)s.batches, "sites", (json_int_t)s.sites, "syncs",
			 (json_int_t)s.syncs, "rollbacks", (json_int_t)s.rollbacks, "bp-exits",
			 "fixup", (json_int_t)s.bp_exits.fixup, "emulate",
			 (json_int_t)s.bp_exits.emulate, "park", (json_int_t)s.bp_exits.park,
			 "late", (json_int_t)s.bp_exits.late, "foreign",
			 (json_int_t)s.bp_exits.foreign);
}

void vp_control_describe(struct vp_control *c, json_t *object)
{
	const struct vp_symtab *symbols = vp_control_symbols(c);

	json_object_set_new(object, "symbols",
			    json_integer(symbols ? (json_int_t)vp_symtab_count(symbols) : 0));
	json_object_set_new(object, "serializer", json_string(c->cfg.target->ops->serializer));
	json_object_set_new(object, "stats", stats_json(c->cfg.engine));
}
