/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a ledger gets: how a batch begins, and how it ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/ledger_internal.h"
#include "target/hex.h"
#include "target/process.h"
#include "target/qmp_wire.h"

static json_int_t next_seq(const struct vp_ledger *l)
{
	return (json_int_t)l->seq + 1;
}

static json_t *user_name(uid_t uid)
{
	char name[256];

	return json_string(vp_process_user(uid, name, sizeof(name)) ? name : "");
}

static json_t *hex_number(uint64_t value)
{
	return json_sprintf("0x%llx", (unsigned long long)value);
}

/* --- begin ------------------------------------------------------------------- */

static json_t *site_line(const struct vp_ledger_begin *b, const struct vp_site *s)
{
	char old_text[2 * VP_INSN_MAX + 1], new_text[2 * VP_INSN_MAX + 1];
	struct vp_ledger_place place = { .symbol = "" };
	json_t *json;

	vp_hex_format(s->old_bytes, s->len, old_text);
	vp_hex_format(s->new_bytes, s->len, new_text);
	b->place(b->arg, s->addr, &place);
	json = json_pack("{s:o, s:o, s:s, s:s, s:s}", "addr", hex_number(s->addr.v), "symbol",
			 vp_qmp_text(place.symbol), "old", old_text, "new", new_text, "resume",
			 vp_resume_name(s->resume));
	if (s->resume == VP_RESUME_FIXUP)
		json_object_set_new(json, "fixup", hex_number(s->fixup.v));
	if (place.module[0]) {
		json_object_set_new(json, "module", vp_qmp_text(place.module));
		json_object_set_new(json, "module-at", hex_number(place.module_at));
	}
	return json;
}

json_t *vp_ledger_words(const struct vp_word *words, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:o, s:I, s:I}", "addr",
						      hex_number(words[i].addr.v), "old",
						      (json_int_t)words[i].old_value, "new",
						      (json_int_t)words[i].new_value));
	return list;
}

int vp_ledger_begin(struct vp_ledger *l, const struct vp_ledger_begin *b, struct vp_err *err)
{
	json_t *sites = json_array(), *line;

	for (size_t i = 0; i < b->nsites; i++)
		json_array_append_new(sites, site_line(b, &b->sites[i]));
	line = json_pack("{s:I, s:s, s:s, s:I, s:I, s:o, s:i, s:o, s:s, s:o}", "seq", next_seq(l),
			 "event", "begin", "command", b->command, "when", (json_int_t)time(NULL),
			 "uid", (json_int_t)b->uid, "user", user_name(b->uid), "pid", (int)b->pid,
			 "boot", hex_number(b->boot), "strategy", vp_strategy_name(b->strategy),
			 "sites", sites);
	if (b->kernel)
		json_object_set_new(line, "kernel", vp_qmp_text(b->kernel));
	if (b->build_id)
		json_object_set_new(line, "build-id", vp_qmp_text(b->build_id));
	if (b->note)
		json_object_set_new(line, "note", vp_qmp_text(b->note));
	if (b->id)
		json_object_set_new(line, "id", json_integer((json_int_t)b->id));
	if (b->number)
		json_object_set_new(line, "batch", json_integer((json_int_t)b->number));
	if (b->process && *b->process)
		json_object_set_new(line, "vm", vp_qmp_text(b->process));
	if (b->force)
		json_object_set_new(line, "force", json_true());
	if (b->forced && *b->forced)
		json_object_set_new(line, "forced", vp_qmp_text(b->forced));
	if (b->nwords)
		json_object_set_new(line, "words", vp_ledger_words(b->words, b->nwords));
	if (b->more)
		json_object_update_missing(line, (json_t *)b->more);
	l->begun = next_seq(l);
	return vp_ledger_append(l, line, err);
}

/* --- end --------------------------------------------------------------------- */

static json_t *end_line(const struct vp_ledger *l, const char *event, long long of, uint64_t id,
			const char *text)
{
	json_t *line = json_pack("{s:I, s:s, s:I, s:I}", "seq", next_seq(l), "event", event, "of",
				 (json_int_t)of, "when", (json_int_t)time(NULL));

	if (id)
		json_object_set_new(line, "id", json_integer((json_int_t)id));
	if (text)
		json_object_set_new(line, "text", vp_qmp_text(text));
	return line;
}

void vp_ledger_add_us(json_t *line)
{
	json_object_set_new(line, "uid", json_integer((json_int_t)geteuid()));
	json_object_set_new(line, "user", user_name(geteuid()));
	json_object_set_new(line, "pid", json_integer(getpid()));
}

int vp_ledger_end(struct vp_ledger *l, const char *event, uint64_t id, const char *text,
		  struct vp_err *err)
{
	return vp_ledger_append(l, end_line(l, event, l->begun, id, text), err);
}

int vp_ledger_end_of(struct vp_ledger *l, const struct vp_ledger_batch *b, const char *event,
		     const char *text, struct vp_err *err)
{
	json_t *line = end_line(l, event, b->seq, b->record.id, text);

	vp_ledger_add_us(line); /* not the process that began it */
	return vp_ledger_append(l, line, err);
}
