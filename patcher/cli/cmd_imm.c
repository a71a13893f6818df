/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke imm: another constant in an instruction that stands there (S8). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"
#include "cli/pokes.h"
#include "target/hex.h"
#include "x86/decode.h"

static const char help[] =
	"usage: vmpoke imm TARGET WHERE VALUE [OPTION...]\n"
	"\n"
	"Replace the constant of the instruction at WHERE (mov, add, sub, and, or, xor, cmp, "
	"test).\n"
	"VALUE is a number, decimal or 0x...; it may be negative. The instruction "
	"keeps\n"
	"its length: what does not fit is refused.\n"
	"\n"
	"  --was VALUE      refuse unless this constant stands there now\n" VP_KERNEL_HELP
	"  --strategy WHICH int3 (default where it works) or stop\n"
	"  --force          also where the guest changes the bytes itself, or may do so\n"
	"  --timeout MS     how long a vCPU may take to answer, 1 to 600000 (default 5000)\n"
	"  --dry-run        make every check, write nothing\n"
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: as for poke.\n";

struct imm_args {
	const char *target, *where, *kernel, *strategy, *was_text;
	int64_t value, was;
	uint64_t timeout_ms;
	bool force, dry_run, json;
};

/* What stands there, and what is to. */
struct change {
	uint8_t old_bytes[VP_INSN_MAX], new_bytes[VP_INSN_MAX];
	vp_gva addr;
	int64_t was;
	size_t len, width; /* width: bytes of the constant */
};

/*
 * Any 64-bit number, with a sign or without; a blank before it is of vp_options_parse(). An exit
 * code, or -1 to go on.
 */
static int number(const char *what, const char *text, int64_t *out)
{
	const char *digits = text + (*text == ' ');
	uint64_t value;
	bool minus = *digits == '-';

	if (vp_cmd_number(digits + minus, 0, minus ? (uint64_t)INT64_MAX + 1 : UINT64_MAX, &value))
		return vp_cmd_fail("imm", VP_EXIT_USAGE, "%s %s is not a number of 64 bits", what,
				   text);
	*out = (int64_t)(minus ? 0 - value : value);
	return -1;
}

static int parse(int argc, char **argv, struct imm_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("was", &a->was_text),
		VP_TEXT("kernel", &a->kernel),
		VP_CHOICE("strategy", &a->strategy, vp_strategy_choices),
		VP_TIMEOUT_OPTION(&a->timeout_ms),
		VP_FLAG("force", &a->force),
		VP_FLAG("dry-run", &a->dry_run),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 3, 3);

	if (code >= 0)
		return code;
	a->target = argv[optind];
	a->where = argv[optind + 1];
	code = number("VALUE", argv[optind + 2], &a->value);
	return code < 0 && a->was_text ? number("--was", a->was_text, &a->was) : code;
}

/* The bytes at c->addr, as many as one instruction may have and are mapped. An exit code. */
static int read_insn(struct vp_client *c, struct change *ch)
{
	size_t page = 0x1000 - (size_t)(ch->addr.v & 0xfff), n = VP_INSN_MAX;
	char addr[24];
	int code = VP_EXIT_OK;

	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)ch->addr.v);
	do {
		json_t *ret = NULL;
		struct vp_err err;
		int rc;

		code = vp_client_try(c, "read-memory",
				     json_pack("{s:s, s:I}", "addr", addr, "len", (json_int_t)n),
				     &ret, &rc, &err);
		if (!code && vp_hex_parse("the answer", vp_client_text(ret, "hex"), ch->old_bytes,
					  n, &ch->len, &err))
			code = VP_EXIT_UNREACHABLE;
		json_decref(ret);
		if (code && (page >= n || vp_client_is_broken(c)))
			return vp_cmd_fail("imm", code, "%s", err.text);
		n = page; /* the next page may not be there, and not be needed */
	} while (code);
	return code;
}

#define VALUE_TEXT 48

/* "42 (0x2a)": the latter as it stands in the instruction. */
static const char *value_text(const struct change *ch, int64_t value, char text[VALUE_TEXT])
{
	uint64_t bits = (uint64_t)value;

	if (ch->width < sizeof(bits))
		bits &= (1ull << (8 * ch->width)) - 1;
	snprintf(text, VALUE_TEXT, value >= 0 && value < 10 ? "%lld" : "%lld (0x%llx)",
		 (long long)value, (unsigned long long)bits);
	return text;
}

/* Does @value stand there? It may be written with its sign or without. */
static bool stands(const struct change *ch, int64_t value)
{
	uint8_t same[VP_INSN_MAX];

	return vp_insn_set_imm(ch->old_bytes, ch->len, ch->addr, value, same, NULL, NULL) > 0 &&
	       !memcmp(same, ch->old_bytes, ch->len);
}

static int make_change(struct vp_client *c, const struct imm_args *a, struct change *ch)
{
	struct vp_insn_fields fields;
	char was[VALUE_TEXT];
	struct vp_err err;
	int len, code = vp_client_resolve_insn(c, a->where, &ch->addr);

	if (!code)
		code = read_insn(c, ch);
	if (code)
		return code;
	len = vp_insn_set_imm(ch->old_bytes, ch->len, ch->addr, a->value, ch->new_bytes, &ch->was,
			      &err);
	if (len < 0)
		return vp_cmd_fail("imm", VP_EXIT_REFUSED, "%s: %s", a->where, err.text);
	ch->len = (size_t)len;
	vp_insn_get_fields(ch->old_bytes, ch->len, ch->addr, &fields, NULL);
	ch->width = fields.imm_len;
	/* What is so already need not have been something else. */
	if (a->was_text && !stands(ch, a->was) &&
	    memcmp(ch->old_bytes, ch->new_bytes, ch->len) != 0)
		return vp_cmd_fail("imm", VP_EXIT_REFUSED, "%s: the constant is %s, not %s",
				   a->where, value_text(ch, ch->was, was), a->was_text);
	return VP_EXIT_OK;
}

static json_t *request(const struct imm_args *a, const struct change *ch)
{
	char old_hex[2 * VP_INSN_MAX + 1], new_hex[2 * VP_INSN_MAX + 1];
	json_t *args;

	vp_hex_format(ch->old_bytes, ch->len, old_hex);
	vp_hex_format(ch->new_bytes, ch->len, new_hex);
	args = json_pack("{s:[{s:o, s:s, s:s}], s:b, s:b, s:s*}", "sites", "addr",
			 json_sprintf("0x%llx", (unsigned long long)ch->addr.v), "old", old_hex,
			 "new", new_hex, "force", (int)a->force, "dry-run", (int)a->dry_run,
			 "strategy", a->strategy);
	if (a->timeout_ms)
		json_object_set_new(args, "timeout", json_integer((json_int_t)a->timeout_ms));
	return args;
}

static int run(struct vp_client *c, const struct imm_args *a)
{
	char was[VALUE_TEXT], value[VALUE_TEXT];
	struct change ch = { 0 };
	json_t *ret = NULL;
	int code = make_change(c, a, &ch);

	if (!code)
		code = vp_client_call(c, "poke", request(a, &ch), &ret);
	if (!code && a->json) {
		json_object_set_new(ret, "was", json_integer((json_int_t)ch.was));
		json_object_set_new(ret, "value", json_integer((json_int_t)a->value));
		vp_client_print(ret);
	} else if (!code && vp_poke_is_already(ret)) {
		printf("%s: already so: %s stands there", a->where, value_text(&ch, ch.was, was));
		vp_poke_tell_already(ret);
	} else if (!code) {
		printf("%s: %s %s %s\n", a->where, value_text(&ch, ch.was, was),
		       a->dry_run ? "could become" : "became", value_text(&ch, a->value, value));
		if (!a->dry_run)
			vp_client_tell_revert(a->target, ret);
	}
	json_decref(ret);
	return code;
}

int vp_cmd_imm(int argc, char **argv)
{
	struct imm_args a = { 0 };
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open_linux(&c, "imm", a.target,
				    10 * (unsigned int)a.timeout_ms + VP_CLIENT_TIMEOUT_MS,
				    a.kernel);
	if (!code)
		code = run(&c, &a);
	return vp_client_close(&c, code);
}
