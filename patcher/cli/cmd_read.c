/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke read: guest memory, as hex or as instructions. */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"
#include "target/hex.h"
#include "x86/decode.h"

#define LEN_MAX	      (1u << 20)
#define INSNS_MAX     10000u
#define INSNS_DEFAULT 8
#define PAGE	      4096u

static const char help[] =
	"usage: vmpoke read TARGET WHERE [--len N | --insns N] [--kernel FILE] [--json]\n"
	"\n"
	"Show guest memory at WHERE, an address or symbol+offset, as the guest sees it.\n"
	"\n"
	"  --len N     N bytes (up to 1048576) as hex\n"
	"  --insns N   N instructions (up to 10000; default 8)\n" VP_KERNEL_HELP
	"  --json      print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 no such symbol, or it is not mapped; 4 no such target.\n";

struct read_args {
	const char *target, *where, *kernel;
	uint64_t len, insns;
	bool json;
};

static int parse(int argc, char **argv, struct read_args *a)
{
	const struct vp_option options[] = {
		VP_NUMBER("len", &a->len, 1, LEN_MAX),
		VP_NUMBER("insns", &a->insns, 1, INSNS_MAX),
		VP_TEXT("kernel", &a->kernel),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 2, 2);

	if (code >= 0)
		return code;
	if (a->len && a->insns)
		return vp_cmd_fail("read", VP_EXIT_USAGE, "--len and --insns exclude each other");
	if (!a->len && !a->insns)
		a->insns = INSNS_DEFAULT;
	a->target = argv[optind];
	a->where = argv[optind + 1];
	return -1;
}

/* Guest memory that was read, and where it stands. */
struct chunk {
	vp_gva addr;
	uint8_t *bytes;
	size_t len;
};

/* Append @len bytes of guest memory. An exit code; @quiet: being unmapped is said by it alone. */
static int read_more(struct vp_client *c, struct chunk *m, size_t len, bool quiet)
{
	char addr[24];
	struct vp_err err;
	json_t *ret = NULL;
	size_t got = 0;
	int rc, code;

	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)(m->addr.v + m->len));
	code = vp_client_try(c, "read-memory",
			     json_pack("{s:s, s:I}", "addr", addr, "len", (json_int_t)len), &ret,
			     &rc, &err);
	if (!code && (vp_hex_parse("the answer", vp_client_text(ret, "hex"), m->bytes + m->len, len,
				   &got, &err) ||
		      got != len))
		code = vp_cmd_fail("read", VP_EXIT_UNREACHABLE, "the target sent a damaged answer");
	else if (code && !quiet && !vp_client_is_broken(c))
		vp_cmd_fail("read", code, "%s", err.text);
	if (!code)
		m->len += len;
	json_decref(ret);
	return code;
}

/* The code of up to @insns instructions: what is mapped of it, page by page. */
static int read_code(struct vp_client *c, struct chunk *m, size_t insns)
{
	size_t want = insns * VP_INSN_MAX;
	int code = VP_EXIT_OK;

	while (!code && m->len < want) {
		size_t page = PAGE - (size_t)((m->addr.v + m->len) % PAGE);

		code = read_more(c, m, page < want - m->len ? page : want - m->len, m->len > 0);
	}
	return m->len && code == VP_EXIT_REFUSED ? VP_EXIT_OK : code;
}

static void dump_hex(const struct chunk *m)
{
	size_t i, j;

	for (i = 0; i < m->len; i += 16) {
		printf("%016llx ", (unsigned long long)(m->addr.v + i));
		for (j = i; j < i + 16; j++)
			if (j < m->len)
				printf(" %02x", m->bytes[j]);
			else
				printf("   ");
		printf("  ");
		for (j = i; j < i + 16 && j < m->len; j++)
			putchar(m->bytes[j] < 0x80 && isprint(m->bytes[j]) ? m->bytes[j] : '.');
		putchar('\n');
	}
}

/* The name of @addr into @text; an exit code. */
static int name_of(struct vp_client *c, vp_gva addr, char *text, size_t size)
{
	char number[24];
	json_t *info = NULL;
	vp_gva same;
	int code;

	snprintf(number, sizeof(number), "0x%llx", (unsigned long long)addr.v);
	code = vp_client_resolve(c, number, &same, &info);
	vp_client_where(info, text, size);
	json_decref(info);
	return code;
}

/* One instruction as {"addr", "where", "bytes", "text"}; what does not decode is one byte. */
static int one_insn(struct vp_client *c, const struct chunk *m, size_t at, size_t *len,
		    json_t **out)
{
	vp_gva addr = VP_GVA(m->addr.v + at);
	size_t left = m->len - at;
	char text[256] = "(bad)", hex[2 * VP_INSN_MAX + 1], where[128] = "", to[128] = "";
	struct vp_insn insn = { .len = 1 };
	int n = vp_insn_format(m->bytes + at, left, addr, text, sizeof(text));
	int code = name_of(c, addr, where, sizeof(where));

	if (n > 0 && vp_insn_decode(m->bytes + at, left, addr, &insn, NULL) == 0 &&
	    (insn.kind == VP_INSN_JMP_REL || insn.kind == VP_INSN_CALL_REL ||
	     insn.kind == VP_INSN_JCC_REL) &&
	    !code)
		code = name_of(c, insn.target, to, sizeof(to));
	if (n <= 0)
		strcpy(text, "(bad)");
	*len = n > 0 ? (size_t)n : 1;
	vp_hex_format(m->bytes + at, *len, hex);
	*out = json_pack("{s:o, s:s, s:s, s:s, s:s}", "addr",
			 json_sprintf("0x%llx", (unsigned long long)addr.v), "where", where,
			 "bytes", hex, "text", text, "to", to);
	if (!*to)
		json_object_del(*out, "to");
	return code;
}

static void print_insn(const json_t *insn)
{
	const char *to = vp_client_text(insn, "to"), *where = vp_client_text(insn, "where");

	printf("%s", vp_client_text(insn, "addr"));
	if (*where)
		printf(" <%s>", where);
	printf(":  %-20s  %s", vp_client_text(insn, "bytes"), vp_client_text(insn, "text"));
	if (*to)
		printf(" <%s>", to);
	putchar('\n');
}

static int show_insns(struct vp_client *c, const struct chunk *m, const struct read_args *a)
{
	json_t *list = json_array(), *out, *insn;
	int code = VP_EXIT_OK;
	size_t at = 0, len, i;

	while (!code && json_array_size(list) < a->insns && at < m->len) {
		code = one_insn(c, m, at, &len, &insn);
		json_array_append_new(list, insn);
		at += len;
	}
	if (!code && a->json) {
		out = json_pack("{s:O}", "insns", list);
		vp_client_print(out);
		json_decref(out);
	} else if (!code) {
		json_array_foreach(list, i, insn) print_insn(insn);
	}
	json_decref(list);
	return code;
}

static void print_hex_json(const struct chunk *m, const json_t *info)
{
	char *hex = malloc(2 * m->len + 1);
	json_t *out = json_deep_copy(info);

	if (!hex)
		return;
	vp_hex_format(m->bytes, m->len, hex);
	json_object_set_new(out, "hex", json_string(hex));
	vp_client_print(out);
	json_decref(out);
	free(hex);
}

static int run(struct vp_client *c, const struct read_args *a)
{
	size_t max = a->len ? a->len : a->insns * VP_INSN_MAX;
	struct chunk m = { .bytes = malloc(max) };
	json_t *info = NULL;
	int code = vp_client_resolve(c, a->where, &m.addr, &info);

	if (!m.bytes)
		code = vp_cmd_fail("read", VP_EXIT_HOST, "out of memory");
	if (!code)
		code = a->len ? read_more(c, &m, a->len, false) : read_code(c, &m, a->insns);
	if (!code && !a->len)
		code = show_insns(c, &m, a);
	else if (!code && a->json)
		print_hex_json(&m, info);
	else if (!code)
		dump_hex(&m);
	json_decref(info);
	free(m.bytes);
	return code;
}

int vp_cmd_read(int argc, char **argv)
{
	struct read_args a = { 0 };
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open_linux(&c, "read", a.target, VP_CLIENT_TIMEOUT_MS, a.kernel);
	if (!code)
		code = run(&c, &a);
	return vp_client_close(&c, code);
}
