/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke read: guest memory, as hex or as instructions. */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/marks.h"
#include "cli/options.h"
#include "target/hex.h"
#include "x86/decode.h"

#define LEN_MAX	      (1u << 20)
#define INSNS_MAX     10000u
#define INSNS_DEFAULT 8	  /* where it cannot be told where the function ends */
#define INSNS_OF_FN   100 /* of a function, by default */
#define PAGE	      4096u
#define LINE	      16u /* bytes, of a dump */

static const char help[] =
	"usage: vmpoke read TARGET WHERE [--len N | --insns N] [--att] [--kernel FILE] [--json]\n"
	"\n"
	"Show guest memory at WHERE, an address or symbol+offset, as the guest sees it: its\n"
	"instructions up to the end of the function, but at most 100 (8 where no symbol tells\n"
	"the end). What a poke has written is marked with its number.\n"
	"\n"
	"  --len N     N bytes (up to 1048576) as hex\n"
	"  --insns N   N instructions (up to 10000), over the end of the function, too\n"
	"  --att       AT&T syntax, which the kernel has; else Intel's\n" VP_KERNEL_HELP
	"  --json      print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 no such symbol, or it is not mapped; 4 no such target.\n";

struct read_args {
	const char *target, *where, *kernel;
	uint64_t len, insns;
	bool att, json;
};

static int parse(int argc, char **argv, struct read_args *a)
{
	const struct vp_option options[] = {
		VP_NUMBER("len", &a->len, 1, LEN_MAX),
		VP_NUMBER("insns", &a->insns, 1, INSNS_MAX),
		VP_FLAG("att", &a->att),
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
	if (a->len && a->att)
		return vp_cmd_fail("read", VP_EXIT_USAGE, "--att goes without --len");
	a->target = argv[optind];
	a->where = argv[optind + 1];
	return -1;
}

/* Guest memory that was read, and where it stands. */
struct chunk {
	vp_gva addr;
	uint8_t *bytes;
	size_t len;
	struct vp_marks marks; /* what is poked of it */
};

/* Which instructions are shown. */
struct extent {
	size_t insns; /* at the most */
	size_t bytes; /* up to the end of the function; 0: whatever the instructions take */
};

static struct extent extent_of(const struct read_args *a, vp_gva addr, const json_t *info)
{
	uint64_t end = vp_client_addr(info, "end").v;

	if (a->insns)
		return (struct extent){ a->insns, 0 };
	if (end <= addr.v)
		return (struct extent){ INSNS_DEFAULT, 0 };
	return (struct extent){ INSNS_OF_FN, end - addr.v };
}

/* How many bytes are needed for them: the last one may reach over the end. */
static size_t room_for(const struct extent *e)
{
	size_t most = e->insns * VP_INSN_MAX;

	return e->bytes && e->bytes < most - VP_INSN_MAX ? e->bytes + VP_INSN_MAX : most;
}

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

/* @want bytes of code, or what is mapped of it, page by page. */
static int read_code(struct vp_client *c, struct chunk *m, size_t want)
{
	int code = VP_EXIT_OK;

	while (!code && m->len < want) {
		size_t page = PAGE - (size_t)((m->addr.v + m->len) % PAGE);

		code = read_more(c, m, page < want - m->len ? page : want - m->len, m->len > 0);
	}
	return m->len && code == VP_EXIT_REFUSED ? VP_EXIT_OK : code;
}

/* --- bytes -------------------------------------------------------------------- */

static void dump_hex(const struct chunk *m)
{
	size_t i, j;

	for (i = 0; i < m->len; i += LINE) {
		size_t n = m->len - i < LINE ? m->len - i : LINE;

		printf("0x%016llx ", (unsigned long long)(m->addr.v + i));
		for (j = i; j < i + LINE; j++)
			if (j < m->len)
				printf(" %02x", m->bytes[j]);
			else
				printf("   ");
		printf("  ");
		for (j = i; j < i + n; j++)
			putchar(m->bytes[j] < 0x80 && isprint(m->bytes[j]) ? m->bytes[j] : '.');
		vp_marks_print_line(&m->marks, m->addr.v + i, n);
		putchar('\n');
	}
}

/* --- instructions -------------------------------------------------------------- */

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
static int one_insn(struct vp_client *c, const struct chunk *m, enum vp_insn_syntax syntax,
		    size_t at, size_t *len, json_t **out)
{
	vp_gva addr = VP_GVA(m->addr.v + at);
	size_t left = m->len - at;
	char text[256] = "(bad)", hex[2 * VP_INSN_MAX + 1], where[128] = "", to[128] = "";
	struct vp_insn insn = { .len = 1 };
	int n = vp_insn_format(m->bytes + at, left, addr, syntax, text, sizeof(text));
	int code = name_of(c, addr, where, sizeof(where));

	if (n > 0 && vp_insn_decode(m->bytes + at, left, addr, &insn, NULL) == 0 &&
	    vp_insn_leads(&insn) && !code)
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
	vp_marks_set(&m->marks, addr.v, *len, *out);
	return code;
}

static void print_insn(const json_t *insn)
{
	const char *to = vp_client_text(insn, "to"), *where = vp_client_text(insn, "where");

	printf("%s", vp_client_text(insn, "addr"));
	if (*where)
		printf(" <%s>", where);
	printf(":  0x%-20s  %s", vp_client_text(insn, "bytes"), vp_client_text(insn, "text"));
	if (*to)
		printf(" <%s>", to);
	vp_mark_print(insn);
	putchar('\n');
}

static void print_insns(const json_t *list, size_t more)
{
	const json_t *insn;
	size_t i;

	json_array_foreach(list, i, insn) print_insn(insn);
	if (more)
		printf("... and %zu bytes more up to the end of the function: --insns N\n", more);
}

static int show_insns(struct vp_client *c, const struct chunk *m, const struct extent *e,
		      const struct read_args *a)
{
	enum vp_insn_syntax syntax = a->att ? VP_SYNTAX_ATT : VP_SYNTAX_INTEL;
	json_t *list = json_array(), *out, *insn;
	int code = VP_EXIT_OK;
	size_t at = 0, len, more;

	while (!code && json_array_size(list) < e->insns && at < m->len &&
	       (!e->bytes || at < e->bytes)) {
		code = one_insn(c, m, syntax, at, &len, &insn);
		json_array_append_new(list, insn);
		at += len;
	}
	more = e->bytes > at && json_array_size(list) == e->insns ? e->bytes - at : 0;
	if (!code && a->json) {
		out = json_pack("{s:O, s:I}", "insns", list, "more", (json_int_t)more);
		vp_client_print(out);
		json_decref(out);
	} else if (!code) {
		print_insns(list, more);
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
	json_object_set_new(out, "poked", vp_marks_json(&m->marks));
	vp_client_print(out);
	json_decref(out);
	free(hex);
}

static int run(struct vp_client *c, const struct read_args *a)
{
	struct chunk m = { .bytes = NULL };
	struct extent e;
	json_t *info = NULL;
	int code = vp_client_resolve(c, a->where, &m.addr, &info);

	if (code)
		return code;
	e = extent_of(a, m.addr, info);
	m.bytes = malloc(a->len ? a->len : room_for(&e));
	if (!m.bytes)
		code = vp_cmd_fail("read", VP_EXIT_HOST, "out of memory");
	if (!code)
		code = a->len ? read_more(c, &m, a->len, false) : read_code(c, &m, room_for(&e));
	if (!code)
		code = vp_marks_look(c, m.addr.v, m.len, &m.marks);
	if (!code && !a->len)
		code = show_insns(c, &m, &e, a);
	else if (!code && a->json)
		print_hex_json(&m, info);
	else if (!code)
		dump_hex(&m);
	vp_marks_clear(&m.marks);
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
