/* SPDX-License-Identifier: Apache-2.0 */
/* Hotfixes: hotfix-check. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "elf/object.h"
#include "hotfix/fit.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

/* The object that a client sends, opened. */
struct opened {
	struct vp_elf_object *elf;
	struct vp_hotfix_object *object;
	struct vp_hotfix_fit *fit;
	struct vp_blockers blockers;
};

static void close_all(struct opened *o)
{
	vp_hotfix_fit_close(o->fit);
	vp_hotfix_object_close(o->object);
	vp_elf_object_close(o->elf);
	vp_blockers_free(&o->blockers);
}

static int open_elf(struct opened *o, const char *what, const char *hex, struct vp_err *err)
{
	size_t len = strlen(hex) / 2;
	uint8_t *bytes = len <= VP_HOTFIX_OBJECT_MAX ? malloc(len + 1) : NULL;
	int rc;

	if (!bytes)
		return len > VP_HOTFIX_OBJECT_MAX
			       ? vp_err_set(err, -ENOEXEC, "%.100s: more than %u bytes", what,
					    VP_HOTFIX_OBJECT_MAX)
			       : vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_hex_parse("object", hex, bytes, len, &len, err);
	if (!rc)
		rc = vp_elf_object_open(bytes, len, what, &o->elf, err);
	free(bytes);
	return rc;
}

static json_t *blockers_json(const struct vp_blockers *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < vp_blockers_kept(b); i++)
		json_array_append_new(list, vp_qmp_text(b->list[i].text));
	return list;
}

static json_t *functions_json(const struct vp_hotfix_fit *fit)
{
	json_t *list = json_array();

	for (size_t i = 0; i < fit->about->nfunctions; i++) {
		const struct vp_linux_function *f = &fit->functions[i];

		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:I}", "name",
					vp_qmp_text(fit->about->functions[i].old.name), "addr",
					vp_json_addr(f->start.v), "site", vp_json_addr(f->site.v),
					"bytes", (json_int_t)f->len));
	}
	return list;
}

static json_t *fit_json(const struct opened *o)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(o->object);
	json_t *json =
		json_pack("{s:o, s:o, s:o, s:b, s:o, s:I}", "name", vp_qmp_text(a->name), "version",
			  vp_qmp_text(a->version), "description", vp_qmp_text(a->description),
			  "fits", o->fit != NULL, "blockers", blockers_json(&o->blockers), "more",
			  (json_int_t)(o->blockers.n - vp_blockers_kept(&o->blockers)));

	if (o->fit) {
		json_object_set_new(json, "functions", functions_json(o->fit));
		json_object_set_new(
			json, "memory",
			json_pack("{s:I, s:I, s:I}", "text",
				  (json_int_t)vp_hotfix_link_size(o->fit->link, VP_AREA_TEXT),
				  "rodata",
				  (json_int_t)vp_hotfix_link_size(o->fit->link, VP_AREA_RODATA),
				  "data",
				  (json_int_t)vp_hotfix_link_size(o->fit->link, VP_AREA_DATA)));
	}
	return json;
}

/* What is no hotfix at all is an error; one that does not fit is an answer. */
json_t *vp_control_hotfix_check(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_control *c = arg;
	const char *what, *hex;
	struct opened o = { 0 };
	json_t *json = NULL;
	struct vp_linux *l;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:s, s:s}", "what", &what, "object", &hex);
	if (!*code)
		*code = open_elf(&o, what, hex, err);
	if (!*code)
		*code = vp_hotfix_object_open(o.elf, &o.object, &o.blockers, err);
	if (!*code)
		*code = vp_control_linux(c, &l, err);
	if (!*code) {
		*code = vp_hotfix_fit_open(l, o.object, &o.fit, &o.blockers, err);
		if (*code == -ENOEXEC && o.blockers.n)
			*code = 0;
	}
	if (!*code)
		json = fit_json(&o);
	close_all(&o);
	return json;
}
