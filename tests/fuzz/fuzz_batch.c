/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch as JSON, in both shapes: the file that `vmpoke poke --batch` reads, and the arguments of
 * the control command that it becomes. Behind them is the engine on the scripted target: what is
 * refused changes nothing, what is applied changes the sites that the engine lists.
 */
#include <errno.h>
#include <string.h>

#include "cli/poke_site.h"
#include "control/internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"
#include "tests/unit/elf_build.h"

static struct vp_symtab *symbols;
static struct vp_control control;

static void load_symbols(void)
{
	static const struct elf_symbol list[] = {
		{ "text", FAKE_TEXT, 0x10000, STT_FUNC, SEC_TEXT },
		{ "split", FAKE_SPLIT, 0x2000, STT_FUNC, SEC_TEXT },
		{ "data", FAKE_DATA, 0x10000, STT_OBJECT, SEC_TEXT },
		{ "twice", FAKE_TEXT, 0, STT_FUNC, SEC_TEXT },
		{ "twice", FAKE_TEXT + 5, 0, STT_FUNC, SEC_TEXT },
	};
	static struct elf_image image;

	elf_build(&image, list, sizeof(list) / sizeof(list[0]));
	FUZZ_CHECK(!vp_symtab_load(image.bytes, image.len, "fuzz", &symbols, NULL));
}

static void end(void)
{
	vp_symtab_free(symbols);
}

static void begin(void)
{
	load_symbols();
	stderr = fopen("/dev/null", "w"); /* each refusal is said there */
	FUZZ_CHECK(stderr);
	atexit(end);
}

/* --- what must hold ---------------------------------------------------------- */

static int check_record(void *arg, const struct vp_record *rec)
{
	FUZZ_CHECK(rec->nsites && fuzz_world_holds(rec->sites, rec->nsites));
	++*(unsigned int *)arg;
	return 0;
}

/* RAM is as the engine lists it: one batch, or none. Then without it. */
static void check_ram(bool applied)
{
	unsigned int records = 0;

	FUZZ_CHECK(!vp_engine_records(control.cfg.engine, check_record, &records));
	FUZZ_CHECK(records == (applied ? 1 : 0));
	if (applied)
		FUZZ_CHECK(!vp_revert(control.cfg.engine, 0, NULL, NULL, NULL));
	FUZZ_CHECK(fuzz_world_holds(NULL, 0));
}

/* Run one command; @args stays the caller's. Its answer, or NULL. */
static json_t *call(vp_qmp_handler fn, const json_t *args)
{
	struct vp_err err = { "" };
	int fd = -1, code = 0;
	json_t *ret = fn(&control, args, &fd, &code, &err);

	FUZZ_CHECK(fd == -1 && (ret || (code < 0 && err.text[0])));
	return ret;
}

static size_t digits(const json_t *site, const char *key)
{
	const char *text = json_string_value(json_object_get(site, key));
	size_t n = 0;

	FUZZ_CHECK(text);
	for (; *text; text++)
		n += *text != ' ';
	return n;
}

/* What was accepted says the same number of bytes twice. */
static void check_lengths(const json_t *args)
{
	const json_t *site;
	size_t i;

	json_array_foreach(json_object_get(args, "sites"), i, site)
		FUZZ_CHECK(digits(site, "old") == digits(site, "new"));
}

static void poke(const json_t *args)
{
	json_t *ret, *list;

	fuzz_world()->trace[0] = '\0';
	ret = call(vp_control_poke, args);
	if (ret)
		check_lengths(args);
	list = call(vp_control_query_pokes, args);
	json_decref(list);
	check_ram(ret && json_integer_value(json_object_get(ret, "id")) != 0);
	json_decref(ret);
}

/* --- the two shapes ---------------------------------------------------------- */

static void check_file(const char *text, size_t len)
{
	struct vp_poke_names names = { .symbols = symbols };
	json_t *sites = json_array(), *args, *site;
	size_t i;
	int code = vp_poke_batch_json(&names, "fuzz", text, len, sites);

	FUZZ_CHECK(code == VP_EXIT_OK || code == VP_EXIT_FILE || code == VP_EXIT_REFUSED);
	json_array_foreach(sites, i, site)
	{
		const char *addr = json_string_value(json_object_get(site, "addr"));
		const char *new_text = json_string_value(json_object_get(site, "new"));

		/* What leaves the command line is numbers and hex digits only. */
		FUZZ_CHECK(addr && !strncmp(addr, "0x", 2));
		FUZZ_CHECK(new_text && *new_text &&
			   strspn(new_text, "0123456789abcdef") == strlen(new_text) &&
			   strlen(new_text) <= 2 * VP_INSN_MAX && strlen(new_text) % 2 == 0);
	}
	if (code == VP_EXIT_OK) {
		FUZZ_CHECK(json_array_size(sites));
		args = json_pack("{s:O}", "sites", sites);
		poke(args);
		json_decref(args);
	}
	json_decref(sites);
}

static void check_arguments(const char *text, size_t len)
{
	json_t *args = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *ret;

	if (json_is_object(args)) { /* the server lets nothing else pass */
		poke(args);
		ret = call(vp_control_revert, args);
		FUZZ_CHECK(!ret); /* nothing is applied now */
		check_ram(false);
	}
	json_decref(args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!symbols)
		begin();
	control.cfg.symbols = symbols;
	control.cfg.engine = fuzz_world_engine();
	check_file((const char *)data, size);
	check_arguments((const char *)data, size);
	vp_engine_free(control.cfg.engine);
	return 0;
}
