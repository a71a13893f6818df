/* SPDX-License-Identifier: Apache-2.0 */
/* query-hotfixes: what the guest's memory says of hotfixes, and what the ledger adds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "hotfix/found.h"
#include "linux/livepatch.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

static json_t *areas_json(const struct vp_hotfix_label *l)
{
	static const char *const names[VP_AREA_COUNT] = { "text", "rodata", "data" };
	json_t *json = json_object();

	for (size_t i = 0; i < VP_AREA_COUNT; i++)
		if (l->areas[i].size)
			json_object_set_new(json, names[i],
					    json_pack("{s:o, s:I}", "addr",
						      vp_json_addr(l->areas[i].at.v), "bytes",
						      (json_int_t)l->areas[i].size));
	return json;
}

static json_t *function_json(const struct vp_hotfix_label_function *f,
			     const struct vp_hotfix_entry *e)
{
	char hex[2 * sizeof(e->now) + 1];
	json_t *json =
		json_pack("{s:o, s:o, s:o, s:o, s:s}", "name", vp_qmp_text(f->name), "addr",
			  vp_json_addr(f->old.v), "site", vp_json_addr(f->site.v), "replacement",
			  vp_json_addr(f->replacement.v), "leads", vp_hotfix_leads_name(e->leads));

	if (e->leads != VP_LEADS_UNKNOWN) {
		vp_hex_format(e->now, sizeof(e->now), hex);
		json_object_set_new(json, "now", json_string(hex));
	}
	if (e->over)
		json_object_set_new(json, "over", vp_qmp_text(e->over->name));
	return json;
}

/* The newest batch that wrote the jmp to a replacement of @l; NULL: the ledger has none. */
static const struct vp_applied *batch_of(const struct vp_hotfix_label *l,
					 const struct vp_applied *list, size_t n)
{
	while (n--)
		for (size_t i = 0; i < list[n].nsites; i++)
			for (size_t j = 0; j < l->nfunctions; j++)
				if (list[n].sites[i].addr.v == l->functions[j].site.v &&
				    vp_hotfix_leads_to(list[n].sites[i].new_bytes,
						       &l->functions[j]))
					return &list[n];
	return NULL;
}

static json_t *hotfix_json(const struct vp_hotfix_found *f, const struct vp_applied *batch)
{
	const struct vp_hotfix_label *l = f->label;
	char object[2 * sizeof(l->object) + 1];
	json_t *functions = json_array(), *json;

	vp_hex_format(l->object, sizeof(l->object), object);
	for (size_t i = 0; i < l->nfunctions; i++)
		json_array_append_new(functions, function_json(&l->functions[i], &f->entries[i]));
	json = json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:s, s:b, s:b, s:o, s:o, s:s}", "name",
			 vp_qmp_text(l->name), "version", vp_qmp_text(l->version), "description",
			 vp_qmp_text(l->description), "who", vp_qmp_text(l->who), "when",
			 (json_int_t)l->when, "at", vp_json_addr(f->at.v), "stands",
			 vp_hotfix_stands_name(f->stands), "whole", (int)f->whole, "covered",
			 (int)f->covered, "areas", areas_json(l), "functions", functions, "object",
			 object);
	vp_json_set_time(json, "time", l->when);
	if (batch && json_object_get(json_object_get(batch->line, "hotfix"), "signed"))
		json_object_set(json, "signed",
				json_object_get(json_object_get(batch->line, "hotfix"), "signed"));
	if (batch && batch->id)
		json_object_set_new(json, "batch", json_integer((json_int_t)batch->id));
	json_object_set_new(json, "recorded",
			    json_boolean(batch && batch->fate == VP_FATE_APPLIED));
	return json;
}

static json_t *damaged_json(const vp_gva *at, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, vp_json_addr(at[i].v));
	return list;
}

/* What the guest's own livepatch has redirected, a line each: those are no hotfixes of ours. */
static int add_livepatch(void *arg, const struct vp_klp_function *f)
{
	json_array_append_new(
		arg, json_pack("{s:o, s:o, s:o, s:o, s:b}", "module", vp_qmp_text(f->module),
			       "function", vp_qmp_text(f->name), "addr", vp_json_addr(f->from.v),
			       "replacement", vp_json_addr(f->to.v), "enabled", f->enabled));
	return 0;
}

/* @why: "", or why they cannot be told. */
static json_t *livepatches_json(struct vp_linux *l, struct vp_err *why)
{
	json_t *list = json_array();
	int rc = vp_linux_livepatches(l, add_livepatch, list, why);

	if (rc)
		json_array_clear(list);
	if (rc == -EOPNOTSUPP) /* a kernel without livepatch has none */
		why->text[0] = 0;
	return list;
}

/* The memory is what counts: that the ledger cannot be asked is no reason to say nothing. */
json_t *vp_control_query_hotfixes(void *arg, const json_t *args, int *fd, int *code,
				  struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_hotfix_found *list = NULL;
	struct vp_applied *batches = NULL;
	size_t n = 0, ndamaged = 0, nbatches = 0;
	vp_gva *damaged = NULL;
	struct vp_err why = { "" };
	struct vp_linux *l = NULL;
	json_t *found;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	vp_control_refresh(c);
	*code = vp_control_linux(c, &l, err);
	if (!*code)
		*code = vp_hotfix_look(l, &list, &n, &damaged, &ndamaged, err);
	if (*code)
		return NULL;
	if (n && vp_control_applied(c, true, &batches, &nbatches, NULL))
		nbatches = 0;
	found = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			found, hotfix_json(&list[i], batch_of(list[i].label, batches, nbatches)));
	vp_control_applied_free(batches, nbatches);
	vp_hotfix_found_free(list, n);
	found = json_pack("{s:o, s:o, s:o}", "hotfixes", found, "damaged",
			  damaged_json(damaged, ndamaged), "livepatches",
			  livepatches_json(l, &why));
	if (why.text[0])
		json_object_set_new(found, "livepatches-untold", vp_qmp_text(why.text));
	free(damaged);
	return found;
}
