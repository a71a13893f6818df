/* SPDX-License-Identifier: Apache-2.0 */
#include "control/operation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/ledger_internal.h"

static const char *const kinds[VP_ARENA_KINDS] = { "text", "rodata", "data" };

static json_t *hex_number(uint64_t value)
{
	return json_sprintf("0x%llx", (unsigned long long)value);
}

/* @more is stolen. */
static int append(struct vp_control *c, const char *event, json_t *more, struct vp_err *err)
{
	json_t *line = json_pack("{s:I, s:s, s:I}", "seq", (json_int_t)c->ledger->seq + 1, "event",
				 event, "when", (json_int_t)time(NULL));

	if (line && more)
		json_object_update_missing(line, more);
	json_decref(more);
	return vp_ledger_append_now(c->ledger, line, err);
}

static int note(struct vp_operation *op, const char *event, json_t *more, struct vp_err *err)
{
	if (!op->seq) {
		json_decref(more);
		return 0;
	}
	json_object_set_new(more, "of", json_integer(op->seq));
	return append(op->c, event, more, err);
}

/* --- writing ----------------------------------------------------------------------- */

static int got(void *arg, unsigned int nr, enum vp_arena_kind kind, vp_gva at, uint64_t size,
	       struct vp_err *err)
{
	return note(arg, "memory",
		    json_pack("{s:i, s:s, s:o, s:I}", "nr", (int)nr, "kind", kinds[kind], "addr",
			      hex_number(at.v), "size", (json_int_t)size),
		    err);
}

static int freed(void *arg, unsigned int nr, enum vp_arena_kind kind, vp_gva at, struct vp_err *err)
{
	return note(arg, "freed",
		    json_pack("{s:i, s:s, s:o}", "nr", (int)nr, "kind", kinds[kind], "addr",
			      hex_number(at.v)),
		    err);
}

static void open_it(struct vp_control *c, long long seq, struct vp_operation *op)
{
	*op = (struct vp_operation){ .c = c, .seq = seq, .witness = { got, freed, op } };
}

int vp_operation_begin(struct vp_control *c, const char *command, json_t *line,
		       struct vp_operation *op, struct vp_err *err)
{
	struct vp_ledger_vm vm = { 0 };
	int rc;

	open_it(c, 0, op);
	rc = c->ledger ? vp_control_vm(c, &vm, err) : 0;
	if (rc || !c->ledger) {
		json_decref(line);
		return rc;
	}
	json_object_set_new(line, "command", json_string(command));
	json_object_set_new(line, "boot", hex_number(vm.boot));
	json_object_set_new(line, "build-id", json_string(vm.build_id ? vm.build_id : ""));
	json_object_set_new(line, "vm", json_string(vm.process ? vm.process : ""));
	vp_ledger_add_us(line);
	op->seq = c->ledger->seq + 1;
	rc = append(c, "operation", line, err);
	if (rc)
		op->seq = 0;
	return rc;
}

int vp_operation_calls(struct vp_operation *op, struct vp_err *err)
{
	return note(op, "calls", json_object(), err);
}

int vp_operation_done(struct vp_operation *op, const char *text, struct vp_err *err)
{
	int rc = note(op, "done", json_pack("{s:s}", "text", text), err);

	if (!rc)
		op->seq = 0;
	return rc;
}

void vp_operation_resume(struct vp_control *c, const struct vp_operation_left *left,
			 struct vp_operation *op)
{
	open_it(c, left->seq, op);
}

/* --- reading ----------------------------------------------------------------------- */

static int kind_from(const json_t *line)
{
	for (int i = 0; i < VP_ARENA_KINDS; i++)
		if (!strcmp(vp_ledger_text(line, "kind"), kinds[i]))
			return i;
	return -1;
}

/* One of its lines behind the first. */
static int take_line(struct vp_control *c, const struct vp_ledger_line *at,
		     struct vp_operation_left *o, struct vp_err *err)
{
	json_t *line;
	uint64_t addr;
	int kind;

	if (at->event == LEDGER_CALLS)
		o->last_nr = -1;
	if (at->event != LEDGER_MEMORY && at->event != LEDGER_FREED)
		return 0;
	line = vp_ledger_read_line(c->ledger, at, err);
	if (!line)
		return -EIO;
	kind = kind_from(line);
	addr = vp_ledger_hex(line, "addr");
	if (kind >= 0 && at->event == LEDGER_MEMORY) {
		o->had[kind] = true;
		o->arena.part[kind] =
			(struct vp_arena_part){ VP_GVA(addr),
						(uint64_t)vp_ledger_int(line, "size") };
	} else if (kind >= 0 && o->arena.part[kind].at.v == addr) {
		o->arena.part[kind] = (struct vp_arena_part){ 0 };
	}
	o->last_nr = (int)vp_ledger_int(line, "nr");
	json_decref(line);
	return 0;
}

static int take(struct vp_control *c, size_t first, struct vp_operation_left *o, struct vp_err *err)
{
	const struct vp_ledger *l = c->ledger;
	int rc = 0;

	*o = (struct vp_operation_left){ .seq = l->lines[first].seq, .last_nr = -1 };
	o->line = vp_ledger_read_line(l, &l->lines[first], err);
	if (!o->line)
		return -EIO;
	for (size_t i = first + 1; i < l->n && !rc; i++)
		if (l->lines[i].of == o->seq)
			rc = take_line(c, &l->lines[i], o, err);
	if (rc)
		json_decref(o->line);
	return rc;
}

int vp_operations_left(struct vp_control *c, struct vp_operation_left **out, size_t *n,
		       struct vp_err *err)
{
	struct vp_ledger_asker asker = vp_ledger_asker(c->cfg.process);
	struct vp_ledger_vm vm = { 0 };
	const struct vp_ledger *l = c->ledger;
	int rc = 0;

	*out = NULL;
	*n = 0;
	if (!l || !vp_ledger_is_open(l, c->cfg.process))
		return 0;
	rc = vp_control_vm(c, &vm, err);
	*out = calloc(l->n + 1, sizeof(**out));
	if (!rc && !*out)
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < l->n && !rc; i++) {
		const struct vp_ledger_line *line = &l->lines[i];

		if (line->event != LEDGER_OPERATION || line->end != LEDGER_BEGIN ||
		    line->boot != vm.boot ||
		    line->build != vp_ledger_build(vm.build_id ? vm.build_id : "") ||
		    !vp_ledger_is_ours(&asker, line->process, line->when))
			continue;
		rc = take(c, i, &(*out)[*n], err);
		*n += !rc;
	}
	if (rc) {
		vp_operations_free(*out, *n);
		*out = NULL;
		*n = 0;
	}
	return rc;
}

void vp_operations_free(struct vp_operation_left *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(list[i].line);
	free(list);
}
