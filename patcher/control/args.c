/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments and values of the control commands. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "control/internal.h"
#include "control/when.h"
#include "elf/where.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

int vp_args_unpack(const json_t *args, struct vp_err *err, const char *fmt, ...)
{
	json_error_t why;
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = json_vunpack_ex((json_t *)args, &why, JSON_STRICT, fmt, ap);
	va_end(ap);
	return ret ? vp_err_set(err, -EINVAL, "bad arguments: %.160s", why.text) : 0;
}

bool vp_args_none(const json_t *args, int *code, struct vp_err *err)
{
	*code = vp_args_unpack(args, err, "{}");
	return !*code;
}

int vp_args_number(const json_t *value, const char *name, uint64_t min, uint64_t max, uint64_t *out,
		   struct vp_err *err)
{
	json_int_t n;

	if (!value)
		return 0;
	n = json_integer_value(value);
	if (!json_is_integer(value) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return vp_err_set(err, -EINVAL, "%s must be an integer, %" PRIu64 " to %" PRIu64,
				  name, min, max);
	*out = (uint64_t)n;
	return 0;
}

int vp_args_addr(struct vp_control *c, const json_t *value, vp_gva *out, struct vp_err *err)
{
	if (json_is_string(value)) {
		const char *text = json_string_value(value);
		struct vp_where where;
		struct vp_linux *l;
		int rc = vp_where_split(text, &where, err);

		/* If there are no symbols, say why. */
		if (!rc && where.name_len && !c->cfg.symbols)
			rc = vp_control_linux(c, &l, err);
		return rc ? rc
			  : vp_symtab_parse(where.name_len ? vp_control_symbols(c) : NULL, text,
					    out, err);
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return vp_err_set(err, -EINVAL,
				  "an address must be a text (\"0x...\", \"symbol+offset\") or an "
				  "integer that is not negative");
	*out = VP_GVA(json_integer_value(value));
	return 0;
}

json_t *vp_json_addr(uint64_t addr)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	return json_string(text);
}

void vp_json_set_change(json_t *object, const struct vp_site *s)
{
	char old_text[2 * VP_INSN_MAX + 1], new_text[2 * VP_INSN_MAX + 1];

	vp_hex_format(s->old_bytes, s->len, old_text);
	vp_hex_format(s->new_bytes, s->len, new_text);
	json_object_set_new(object, "old", json_string(old_text));
	json_object_set_new(object, "new", json_string(new_text));
	json_object_set_new(object, "resume", json_string(vp_resume_name(s->resume)));
	if (s->resume == VP_RESUME_FIXUP)
		json_object_set_new(object, "fixup", vp_json_addr(s->fixup.v));
}

void vp_json_set_time(json_t *object, const char *key, int64_t when)
{
	char text[VP_WHEN_TEXT];

	if (*vp_when_iso(when, text))
		json_object_set_new(object, key, json_string(text));
}

void vp_json_set_where(struct vp_control *c, json_t *object, vp_gva addr)
{
	uint64_t offset;
	const char *symbol = vp_control_name(c, addr, &offset);

	json_object_set_new(object, "addr", vp_json_addr(addr.v));
	if (!symbol || offset > INT64_MAX)
		return;
	json_object_set_new(object, "symbol", vp_qmp_text(symbol));
	json_object_set_new(object, "offset", json_integer((json_int_t)offset));
}
