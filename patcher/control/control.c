/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the commands, and what they say of themselves. */
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "target/qmp_wire.h"

const struct vp_qmp_command vp_control_commands[] = {
	{ "resolve-symbol", vp_control_resolve_symbol, VP_QMP_IN_TURN },
	{ "read-memory", vp_control_read_memory, VP_QMP_IN_TURN },
	{ "query-registers", vp_control_query_registers, VP_QMP_IN_TURN },
	{ "query-symbols", vp_control_query_symbols, VP_QMP_IN_TURN },
	{ "query-kernel", vp_control_query_kernel, VP_QMP_IN_TURN },
	{ "query-pokes", vp_control_query_pokes, VP_QMP_IN_TURN },
	{ "query-ledger", vp_control_query_ledger, VP_QMP_IN_TURN },
	{ "query-keys", vp_control_query_keys, VP_QMP_IN_TURN },
	{ "poke", vp_control_poke, VP_QMP_IN_TURN },
	{ "revert", vp_control_revert, VP_QMP_IN_TURN },
	{ "key-set", vp_control_key_set, VP_QMP_IN_TURN },
	{ "verify", vp_control_verify, VP_QMP_IN_TURN },
	{ "query-hotfixes", vp_control_query_hotfixes, VP_QMP_IN_TURN },
	{ "hotfix-check", vp_control_hotfix_check, VP_QMP_IN_TURN },
	{ "hotfix-apply", vp_control_hotfix_apply, VP_QMP_IN_TURN },
	{ "hotfix-remove", vp_control_hotfix_remove, VP_QMP_IN_TURN },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

static size_t count(const struct vp_qmp_command *list)
{
	size_t n = 0;

	while (list[n].name)
		n++;
	return n;
}

struct vp_qmp_command *vp_control_commands_and(const struct vp_qmp_command *own)
{
	size_t general = count(vp_control_commands), more = count(own);
	struct vp_qmp_command *all = calloc(general + more + 1, sizeof(*all));

	if (!all)
		return NULL;
	memcpy(all, vp_control_commands, general * sizeof(*all));
	memcpy(all + general, own, more * sizeof(*all));
	return all;
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
	json_object_set_new(object, "serializer", json_string(c->cfg.target->serializer));
	json_object_set_new(object, "stats", stats_json(c->cfg.engine));
	if (vp_control_attention(c))
		json_object_set_new(object, "attention", vp_qmp_text(vp_control_attention(c)));
}
