/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of a ledger, read with suspicion: they were written by us, but a disk or an editor may
 * have been at them since, and a later vmpoke may write what this one does not know.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "control/ledger_internal.h"
#include "target/hex.h"

static const char *const events[] = {
	[LEDGER_BEGIN] = "begin",	  [LEDGER_APPLIED] = "applied",
	[LEDGER_FAILED] = "failed",	  [LEDGER_UNDONE] = "undone",
	[LEDGER_ABANDONED] = "abandoned", [LEDGER_DONE] = "done",
	[LEDGER_OPERATION] = "operation", [LEDGER_CALLS] = "calls",
	[LEDGER_MEMORY] = "memory",	  [LEDGER_FREED] = "freed",
	[LEDGER_CONTINUED] = "continued", [LEDGER_PUT_ASIDE] = "put-aside",
};
#define NEVENTS (sizeof(events) / sizeof(events[0]))

const char *vp_ledger_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t vp_ledger_int(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

uint64_t vp_ledger_hex(const json_t *object, const char *key)
{
	return strtoull(vp_ledger_text(object, key), NULL, 16);
}

/* --- what a batch changes ------------------------------------------------------ */

int vp_ledger_site_from(const json_t *json, struct vp_site *s, struct vp_err *err)
{
	size_t old_len = 0, new_len = 0;
	int rc = vp_hex_parse("old", vp_ledger_text(json, "old"), s->old_bytes, VP_INSN_MAX,
			      &old_len, err);

	if (!rc)
		rc = vp_hex_parse("new", vp_ledger_text(json, "new"), s->new_bytes, VP_INSN_MAX,
				  &new_len, err);
	if (!rc && old_len != new_len)
		rc = vp_err_set(err, -EINVAL, "old and new differ in length");
	if (rc)
		return rc;
	s->addr = VP_GVA(vp_ledger_hex(json, "addr"));
	s->fixup = VP_GVA(vp_ledger_hex(json, "fixup"));
	s->len = (uint8_t)old_len;
	for (s->resume = VP_RESUME_PARK; s->resume < VP_RESUME_FIXUP; s->resume++)
		if (!strcmp(vp_ledger_text(json, "resume"), vp_resume_name(s->resume)))
			break;
	return s->addr.v ? 0 : vp_err_set(err, -EINVAL, "a site has no address");
}

int vp_ledger_word_from(const json_t *json, struct vp_word *w, struct vp_err *err)
{
	int64_t old_value = vp_ledger_int(json, "old"), new_value = vp_ledger_int(json, "new");

	w->addr = VP_GVA(vp_ledger_hex(json, "addr"));
	w->old_value = (uint32_t)old_value;
	w->new_value = (uint32_t)new_value;
	if (w->addr.v && w->old_value == old_value && w->new_value == new_value)
		return 0;
	return vp_err_set(err, -EINVAL, "a word without address, or not of 32 bits");
}

uint64_t vp_ledger_build(const char *build_id)
{
	return vp_digest(VP_DIGEST_INIT, build_id, strlen(build_id));
}

/* The same for two batches that change the same bytes of the same kernel in the same way. */
static int digest_batch(const json_t *json, uint64_t *out, struct vp_err *err)
{
	uint64_t d = vp_ledger_build(vp_ledger_text(json, "build-id"));
	const json_t *sites = json_object_get(json, "sites");
	const json_t *words = json_object_get(json, "words");
	int rc = 0;

	for (size_t i = 0; i < json_array_size(sites) && !rc; i++) {
		struct vp_site s = { 0 };

		rc = vp_ledger_site_from(json_array_get(sites, i), &s, err);
		d = vp_digest(d, &s.addr.v, sizeof(s.addr.v));
		d = vp_digest(d, s.old_bytes, sizeof(s.old_bytes));
		d = vp_digest(d, s.new_bytes, sizeof(s.new_bytes));
	}
	for (size_t i = 0; i < json_array_size(words) && !rc; i++) {
		struct vp_word w = { 0 };

		rc = vp_ledger_word_from(json_array_get(words, i), &w, err);
		if (vp_word_is_condition(&w))
			continue;
		d = vp_digest(d, &w.addr.v, sizeof(w.addr.v));
		d = vp_digest(d, &w.old_value, sizeof(w.old_value));
		d = vp_digest(d, &w.new_value, sizeof(w.new_value));
	}
	*out = d;
	return rc;
}

/* --- a line ------------------------------------------------------------------- */

/* Of which VM, kernel and boot. */
static void whose_from(const json_t *json, struct vp_ledger_line *out)
{
	out->boot = vp_ledger_hex(json, "boot");
	out->build = vp_ledger_build(vp_ledger_text(json, "build-id"));
	snprintf(out->process, sizeof(out->process), "%s", vp_ledger_text(json, "vm"));
}

static int begin_from(const json_t *json, struct vp_ledger_line *out, struct vp_err *err)
{
	const char *command = vp_ledger_text(json, "command");

	out->revert = !strcmp(command, "revert") || !strcmp(command, VP_LEDGER_REMOVE);
	if (!out->revert || !out->id)
		out->id = vp_ledger_int(json, "batch");
	out->hotfix = json_is_object(json_object_get(json, "hotfix"));
	out->replaces = json_is_true(json_object_get(json, "replaces"));
	whose_from(json, out);
	if (!json_is_array(json_object_get(json, "sites")))
		return vp_err_set(err, -EINVAL, "a batch without sites");
	return digest_batch(json, &out->digest, err);
}

int vp_ledger_line_from(const json_t *json, struct vp_ledger_line *out, struct vp_err *err)
{
	const char *event = vp_ledger_text(json, "event");
	size_t i = 0;

	while (i < NEVENTS && strcmp(events[i], event))
		i++;
	if (!json_is_object(json) || i == NEVENTS)
		return vp_err_set(err, -EINVAL, "it is no line that this vmpoke knows");
	*out = (struct vp_ledger_line){
		.event = (enum vp_ledger_event)i,
		.seq = vp_ledger_int(json, "seq"),
		.of = vp_ledger_int(json, "of"),
		.id = vp_ledger_int(json, "id"),
		.when = vp_ledger_int(json, "when"),
	};
	if (out->seq <= 0 || out->id < 0)
		return vp_err_set(err, -EINVAL, "its numbers make no sense");
	if (out->event == LEDGER_OPERATION)
		whose_from(json, out);
	return out->event == LEDGER_BEGIN ? begin_from(json, out, err) : 0;
}
