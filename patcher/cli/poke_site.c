/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/poke_site.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "target/hex.h"
#include "x86/encode.h"

/* An exit code; says what is wrong. */
static int resolve(struct vp_poke_names *n, const char *where, vp_gva *out)
{
	struct vp_err err;
	int ret;

	if (!n->symbols)
		return vp_client_resolve(n->client, where, out, NULL);
	if (vp_client_check_where("poke", where))
		return VP_EXIT_USAGE;
	ret = vp_symtab_parse(n->symbols, where, out, &err);
	return ret ? vp_cmd_fail("poke", vp_exit_code(ret), "%s", err.text) : VP_EXIT_OK;
}

/* The length of @name if @text is "name:...", else 0. */
static size_t prefix(const char *text, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(text, name, n) && text[n] == ':' ? n + 1 : 0;
}

/* Encode nop, jmp:WHERE or call:WHERE of @len bytes at @at. An exit code. */
static int encode(struct vp_poke_names *n, const char *text, vp_gva at, size_t len, uint8_t *out)
{
	size_t jmp = prefix(text, "jmp"), call = prefix(text, "call");
	vp_gva to = { 0 };
	int ret, code;

	code = jmp || call ? resolve(n, text + jmp + call, &to) : VP_EXIT_OK;
	if (code)
		return code;
	if (call && len != 5)
		return vp_cmd_fail("poke", VP_EXIT_REFUSED,
				   "a call takes 5 bytes, the old instruction has %zu", len);
	ret = jmp    ? vp_encode_jmp(out, len, at, to)
	      : call ? vp_encode_call(out, at, to)
		     : vp_encode_nop(out, len);
	if (ret < 0)
		return vp_cmd_fail("poke", vp_exit_code(ret),
				   ret == -ERANGE
					   ? "%s is out of reach of %zu bytes, which --old has"
					   : "%s cannot be made of %zu bytes, which --old has",
				   text, len);
	return VP_EXIT_OK;
}

/* The new bytes as hex, at most 2 * VP_INSN_MAX digits: made here, or as given. An exit code. */
static int new_hex(struct vp_poke_names *n, const struct vp_poke_text *t, vp_gva at, char *hex)
{
	uint8_t old_bytes[VP_INSN_MAX], new_bytes[VP_INSN_MAX];
	struct vp_err err;
	size_t len;
	bool made = !strcmp(t->new_text, "nop") || prefix(t->new_text, "jmp") ||
		    prefix(t->new_text, "call");
	int code = VP_EXIT_OK;

	if (vp_hex_parse("old", t->old_hex, old_bytes, VP_INSN_MAX, &len, &err))
		return vp_cmd_fail("poke", VP_EXIT_USAGE, "%s: %s", t->where, err.text);
	if (made)
		code = encode(n, t->new_text, at, len, new_bytes);
	else if (vp_hex_parse("new", t->new_text, new_bytes, VP_INSN_MAX, &len, &err))
		code = vp_cmd_fail("poke", VP_EXIT_USAGE,
				   "%s: %s (or write nop, jmp:WHERE, call:WHERE)", t->where,
				   err.text);
	if (!code)
		vp_hex_format(new_bytes, len, hex);
	return code;
}

static json_t *address(vp_gva addr)
{
	return json_sprintf("0x%llx", (unsigned long long)addr.v);
}

int vp_poke_site_json(struct vp_poke_names *names, const struct vp_poke_text *t, json_t **out)
{
	char hex[2 * VP_INSN_MAX + 1];
	vp_gva at, fixup = { 0 };
	int code = resolve(names, t->where, &at);

	if (!code)
		code = new_hex(names, t, at, hex);
	if (!code && t->fixup)
		code = resolve(names, t->fixup, &fixup);
	if (code)
		return code;
	*out = json_pack("{s:o, s:s, s:s, s:s*, s:o*}", "addr", address(at), "old", t->old_hex,
			 "new", hex, "resume", t->resume, "fixup",
			 t->fixup ? address(fixup) : NULL);
	return VP_EXIT_OK;
}

/* One element of "sites" in a batch file. An exit code. */
static int batch_site(struct vp_poke_names *names, const char *what, size_t i, json_t *given,
		      json_t *list)
{
	struct vp_poke_text text = { 0 };
	json_error_t why;
	json_t *site;
	int code;

	if (json_unpack_ex(given, &why, JSON_STRICT, "{s:s, s:s, s:s, s?s, s?s}", "addr",
			   &text.where, "old", &text.old_hex, "new", &text.new_text, "resume",
			   &text.resume, "fixup", &text.fixup))
		return vp_cmd_fail("poke", VP_EXIT_FILE,
				   "%s: site %zu is not as it must be (addr, old, new; resume and "
				   "fixup if need be): %s",
				   what, i, why.text);
	code = vp_poke_site_json(names, &text, &site);
	if (!code)
		json_array_append_new(list, site);
	return code == VP_EXIT_USAGE ? VP_EXIT_FILE : code;
}

int vp_poke_batch_json(struct vp_poke_names *names, const char *what, const char *text, size_t len,
		       json_t *list)
{
	json_error_t why;
	json_t *file = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why), *sites = NULL;
	int code = VP_EXIT_OK;

	if (!file)
		return vp_cmd_fail("poke", VP_EXIT_FILE, "%s is no JSON, in line %d: %s", what,
				   why.line, why.text);
	if (json_unpack(file, "{s:o !}", "sites", &sites) || !json_array_size(sites))
		code = vp_cmd_fail("poke", VP_EXIT_FILE,
				   "%s is no batch, or an empty one: it must be {\"sites\": "
				   "[SITE, ...]}",
				   what);
	for (size_t i = 0; !code && i < json_array_size(sites); i++)
		code = batch_site(names, what, i, json_array_get(sites, i), list);
	json_decref(file);
	return code;
}
