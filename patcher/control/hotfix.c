/* SPDX-License-Identifier: Apache-2.0 */
/* Hotfixes: the object that a client sends, and hotfix-check. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/hotfix.h"
#include "elf/object.h"
#include "hotfix/code.h"
#include "hotfix/livepatch.h"
#include "linux/livepatch.h"
#include "sign/embedded.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

void vp_hotfix_opened_close(struct vp_hotfix_opened *o)
{
	vp_hotfix_fit_close(o->fit);
	vp_hotfix_object_close(o->object);
	vp_elf_object_close(o->elf);
	vp_blockers_free(&o->blockers);
	free(o->bytes);
}

/* The bytes of @hex, into o->bytes: at most @max. */
static int take_hex(const char *hex, size_t max, uint8_t **bytes, size_t *len, struct vp_err *err)
{
	*len = strlen(hex) / 2;
	if (*len > max)
		return vp_err_set(err, -ENOEXEC, "more than %zu bytes", max);
	*bytes = malloc(*len + 1);
	if (!*bytes)
		return vp_err_set(err, -ENOMEM, "out of memory");
	return vp_hex_parse("object", hex, *bytes, *len, len, err);
}

/* The signature is in the object, or comes with it; @detached is for free(). */
static int find_signature(const struct vp_hotfix_opened *o, const struct vp_hotfix_sent *sent,
			  struct vp_signed *s, uint8_t **detached, struct vp_err *err)
{
	struct vp_embedded parts;
	int rc = vp_embedded_split(o->bytes, o->len, &parts, err);

	if (rc)
		return rc;
	*s = (struct vp_signed){ sent->what, o->bytes, parts.len, parts.signature,
				 parts.signature_len };
	if (parts.signature && sent->signature)
		return vp_err_set(err, -ENOEXEC, "it has a signature in it, and one beside it");
	if (sent->signature)
		rc = take_hex(sent->signature, VP_SIGN_FILE_MAX, detached, &s->signature_len, err);
	if (*detached)
		s->signature = (const char *)*detached;
	return rc;
}

static int check_signature(struct vp_hotfix_opened *o, const struct vp_hotfix_sent *sent,
			   const struct vp_keyrings *keyrings, struct vp_err *err)
{
	uint8_t *detached = NULL;
	struct vp_signed s;
	int rc = find_signature(o, sent, &s, &detached, err);

	if (!rc)
		o->len = s.len;
	if (!rc && keyrings)
		rc = vp_keyrings_check(keyrings, &s, time(NULL), &o->signer, err);
	free(detached);
	return rc;
}

int vp_hotfix_sent_check(const struct vp_hotfix_sent *sent, const struct vp_keyrings *keyrings,
			 struct vp_err *err)
{
	struct vp_hotfix_opened o = { 0 };
	int rc = take_hex(sent->hex, VP_HOTFIX_OBJECT_MAX, &o.bytes, &o.len, err);

	if (!rc)
		rc = check_signature(&o, sent, keyrings, err);
	vp_hotfix_opened_close(&o);
	return rc;
}

/* Whose fault it is; that it is no hotfix says so itself. */
static int name_it(const struct vp_hotfix_sent *sent, int rc, struct vp_err *err)
{
	struct vp_err why = *err;

	return vp_err_set(err, rc, "%.100s: %.150s", sent->what, why.text);
}

static void digest_bytes(struct vp_hotfix_opened *o)
{
	struct vp_sha256 sha;

	vp_sha256_init(&sha);
	vp_sha256_add(&sha, o->bytes, o->len);
	vp_sha256_end(&sha, o->digest);
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

int vp_hotfix_opened_read(struct vp_hotfix_opened *o, const struct vp_hotfix_sent *sent,
			  const struct vp_keyrings *keyrings,
			  const struct vp_hotfix_opened_for *kernel, struct vp_err *refusal,
			  struct vp_err *err)
{
	int rc = take_hex(sent->hex, VP_HOTFIX_OBJECT_MAX, &o->bytes, &o->len, err);

	if (refusal)
		refusal->text[0] = '\0';
	if (!rc)
		rc = check_signature(o, sent, keyrings, err);
	if (rc == -EKEYREJECTED && refusal) {
		*refusal = *err;
		rc = 0;
	}
	if (rc)
		return name_it(sent, rc, err);
	digest_bytes(o);
	rc = vp_elf_object_open(o->bytes, o->len, sent->what, &o->elf, err);
	if (!rc && vp_livepatch_is(o->elf))
		rc = convert(o, kernel, err);
	return rc ? rc : vp_hotfix_object_open(o->elf, &o->object, &o->blockers, err);
}

static int linux_of_guest(void *arg, struct vp_linux **out, struct vp_err *err)
{
	return vp_control_linux(arg, out, err);
}

int vp_hotfix_opened_read_for(struct vp_hotfix_opened *o, const struct vp_hotfix_sent *sent,
			      const struct vp_keyrings *keyrings, struct vp_control *c,
			      struct vp_err *refusal, struct vp_err *err)
{
	const struct vp_hotfix_opened_for kernel = { linux_of_guest, c };

	return vp_hotfix_opened_read(o, sent, keyrings, &kernel, refusal, err);
}

json_t *vp_hotfix_signer_json(const struct vp_hotfix_opened *o)
{
	if (!o->signer.known)
		return NULL;
	return json_pack("{s:s, s:o, s:o}", "key", o->signer.key, "file",
			 vp_qmp_text(o->signer.file), "comment", vp_qmp_text(o->signer.comment));
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
	json_t *json = json_pack("{s:o, s:o, s:o, s:b, s:o, s:I}", "name", vp_qmp_text(a->name),
				 "version", vp_qmp_text(a->version), "description",
				 vp_qmp_text(a->description), "fits", o->fit && !o->blockers.n,
				 "blockers", vp_hotfix_texts_json(&o->blockers), "more",
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

/* The object, with what its functions are expected to replace: what they have in this guest; and
 * without a signature, which would not be good for it. */
static int expect(struct vp_control *c, struct vp_hotfix_opened *o, json_t *json,
		  struct vp_err *err)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(o->object);
	char *text = malloc(2 * o->len + 1);
	uint8_t digest[VP_SHA256_SIZE];
	struct vp_linux *l;
	int rc = text ? vp_control_linux(c, &l, err) : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; !rc && i < a->nfunctions; i++) {
		rc = vp_hotfix_code_digest(l, &o->fit->functions[i], digest, err);
		if (!rc)
			memcpy(o->bytes + a->functions[i].expected_at, digest, sizeof(digest));
	}
	if (!rc) {
		vp_hex_format(o->bytes, o->len, text);
		rc = json_object_set_new(json, "object", json_string(text))
			     ? vp_err_set(err, -ENOMEM, "out of memory")
			     : 0;
	}
	free(text);
	return rc;
}

/*
 * What is no hotfix at all is an error; one that does not fit is an answer. With "expect" the
 * answer has the object, made for the code that this guest has, and nobody asks who signed it.
 */
json_t *vp_control_hotfix_check(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_hotfix_sent sent = { 0 };
	struct vp_hotfix_opened o = { 0 };
	struct vp_err refusal = { "" };
	json_t *json = NULL;
	int wanted = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:s, s:s, s?s, s?b}", "what", &sent.what, "object",
			       &sent.hex, "signature", &sent.signature, "expect", &wanted);
	if (!*code)
		*code = vp_hotfix_opened_read_for(&o, &sent, wanted ? NULL : &c->cfg.keyrings, c,
						  &refusal, err);
	if (!*code && wanted && o.livepatch)
		*code = vp_err_set(
			err, -ENOEXEC,
			"%.100s is a livepatch module: what it expects cannot be written "
			"into it",
			sent.what);
	if (!*code)
		*code = look(c, &o, err);
	if (refusal.text[0])
		vp_blockers_add(&o.blockers, "%s", refusal.text);
	if (!*code)
		json = vp_hotfix_fit_json(&o);
	if (!*code && wanted && o.fit)
		*code = expect(c, &o, json, err);
	vp_hotfix_opened_close(&o);
	if (*code) {
		json_decref(json);
		json = NULL;
	}
	return json;
}
