/* SPDX-License-Identifier: Apache-2.0 */
/* Hotfixes: the object that a client sends, and hotfix-check. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/hotfix.h"
#include "elf/object.h"
#include "hotfix/code.h"
#include "hotfix/livepatch.h"
#include "linux/livepatch.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

void vp_hotfix_opened_close(struct vp_hotfix_opened *o)
{
	vp_hotfix_fit_close(o->fit);
	vp_hotfix_object_close(o->object);
	vp_elf_object_close(o->elf);
	vp_blockers_free(&o->blockers);
}

static void digest_bytes(struct vp_hotfix_opened *o, const uint8_t *bytes, size_t len)
{
	struct vp_sha256 sha;

	vp_sha256_init(&sha);
	vp_sha256_add(&sha, bytes, len);
	vp_sha256_end(&sha, o->digest);
}

static int open_elf(struct vp_hotfix_opened *o, const char *what, const char *hex,
		    struct vp_err *err)
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
		digest_bytes(o, bytes, len);
	if (!rc)
		rc = vp_elf_object_open(bytes, len, what, &o->elf, err);
	free(bytes);
	return rc;
}

/* A livepatch module is read by the types of the kernel that it is for. */
static int convert(struct vp_hotfix_opened *o, const struct vp_hotfix_opened_for *kernel,
		   struct vp_err *err)
{
	struct vp_livepatch_kernel to;
	struct vp_elf_object *ours = NULL;
	struct vp_linux *l = NULL;
	void *image = NULL;
	size_t len = 0;
	int rc = kernel->linux_of(kernel->arg, &l, err);

	if (rc)
		return rc;
	to.release = vp_linux_info(l)->release;
	to.layout = vp_linux_klp_layout(l);
	rc = vp_livepatch_convert(o->elf, &to, &image, &len, &o->blockers, err);
	if (!rc)
		rc = vp_elf_object_open(image, len, vp_elf_object_what(o->elf), &ours, err);
	free(image);
	if (rc)
		return rc;
	vp_elf_object_close(o->elf);
	o->elf = ours;
	o->livepatch = true;
	return 0;
}

int vp_hotfix_opened_read(struct vp_hotfix_opened *o, const char *what, const char *hex,
			  const struct vp_hotfix_opened_for *kernel, struct vp_err *err)
{
	int rc = open_elf(o, what, hex, err);

	if (!rc && vp_livepatch_is(o->elf))
		rc = convert(o, kernel, err);
	return rc ? rc : vp_hotfix_object_open(o->elf, &o->object, &o->blockers, err);
}

static int linux_of_guest(void *arg, struct vp_linux **out, struct vp_err *err)
{
	return vp_control_linux(arg, out, err);
}

int vp_hotfix_opened_read_for(struct vp_hotfix_opened *o, const char *what, const char *hex,
			      struct vp_control *c, struct vp_err *err)
{
	const struct vp_hotfix_opened_for kernel = { linux_of_guest, c };

	return vp_hotfix_opened_read(o, what, hex, &kernel, err);
}

int vp_hotfix_known(const struct vp_hotfix_found *found, size_t n, struct vp_linux_ranges *out,
		    struct vp_err *err)
{
	struct vp_linux_range *list = calloc(n + 1, sizeof(*list));

	*out = (struct vp_linux_ranges){ list, 0 };
	if (!list)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		if (found[i].stands == VP_HOTFIX_APPLIED)
			list[out->n++] =
				(struct vp_linux_range){ found[i].at,
							 found[i].label->areas[VP_AREA_TEXT].size };
	return 0;
}

json_t *vp_hotfix_texts_json(const struct vp_blockers *b)
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

json_t *vp_hotfix_fit_json(const struct vp_hotfix_opened *o)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(o->object);
	json_t *json =
		json_pack("{s:o, s:o, s:o, s:b, s:o, s:I}", "name", vp_qmp_text(a->name), "version",
			  vp_qmp_text(a->version), "description", vp_qmp_text(a->description),
			  "fits", o->fit != NULL, "blockers", vp_hotfix_texts_json(&o->blockers),
			  "more", (json_int_t)(o->blockers.n - vp_blockers_kept(&o->blockers)));

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

/* Does it fit, over the hotfixes that are there? That it does not is an answer. */
static int look(struct vp_control *c, struct vp_hotfix_opened *o, struct vp_err *err)
{
	struct vp_hotfix_found *found = NULL;
	struct vp_linux_ranges known = { 0 };
	struct vp_linux *l;
	size_t n = 0;
	int rc = vp_control_linux(c, &l, err);

	if (!rc)
		rc = vp_hotfix_find(l, &found, &n, err);
	if (!rc)
		rc = vp_hotfix_known(found, n, &known, err);
	if (!rc)
		rc = vp_hotfix_fit_open(l, o->object, &known, &o->fit, &o->blockers, err);
	free((void *)known.list);
	vp_hotfix_found_free(found, n);
	return rc == -ENOEXEC && o->blockers.n ? 0 : rc;
}

/* The object @hex, with what its functions are expected to replace: what they have in this guest.
 */
static int expect(struct vp_control *c, const struct vp_hotfix_opened *o, const char *hex,
		  json_t *json, struct vp_err *err)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(o->object);
	size_t len = strlen(hex) / 2;
	uint8_t *bytes = malloc(len + 1), digest[VP_SHA256_SIZE];
	char *text = malloc(2 * len + 1);
	struct vp_linux *l;
	int rc = bytes && text ? vp_control_linux(c, &l, err)
			       : vp_err_set(err, -ENOMEM, "out of memory");

	if (!rc)
		rc = vp_hex_parse("object", hex, bytes, len, &len, err);
	for (size_t i = 0; !rc && i < a->nfunctions; i++) {
		rc = vp_hotfix_code_digest(l, &o->fit->functions[i], digest, err);
		if (!rc)
			memcpy(bytes + a->functions[i].expected_at, digest, sizeof(digest));
	}
	if (!rc) {
		vp_hex_format(bytes, len, text);
		rc = json_object_set_new(json, "object", json_string(text))
			     ? vp_err_set(err, -ENOMEM, "out of memory")
			     : 0;
	}
	free(bytes);
	free(text);
	return rc;
}

/*
 * What is no hotfix at all is an error; one that does not fit is an answer. With "expect" the
 * answer has the object, made for the code that this guest has.
 */
json_t *vp_control_hotfix_check(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_control *c = arg;
	const char *what, *hex;
	struct vp_hotfix_opened o = { 0 };
	json_t *json = NULL;
	int wanted = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:s, s:s, s?b}", "what", &what, "object", &hex,
			       "expect", &wanted);
	if (!*code)
		*code = vp_hotfix_opened_read_for(&o, what, hex, c, err);
	if (!*code && wanted && o.livepatch)
		*code = vp_err_set(
			err, -ENOEXEC,
			"%.100s is a livepatch module: what it expects cannot be written "
			"into it",
			what);
	if (!*code)
		*code = look(c, &o, err);
	if (!*code)
		json = vp_hotfix_fit_json(&o);
	if (!*code && wanted && o.fit)
		*code = expect(c, &o, hex, json, err);
	vp_hotfix_opened_close(&o);
	if (*code) {
		json_decref(json);
		json = NULL;
	}
	return json;
}
