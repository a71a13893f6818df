/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands on the scripted target, with a ledger: what one process begins, another
 * ends. */
#include <sys/stat.h>
#include <unistd.h>

#include "control/control.h"
#include "elf_build.h"
#include "fake.h"
#include "unit.h"

struct rig {
	struct world *w;
	struct vp_symtab *symbols;
	struct vp_control *control;
	char dir[32], path[64];
};

static const struct elf_symbol symbols[] = {
	{ "place_a", A, 5, STT_FUNC, SEC_TEXT },
	{ "place_b", B, 5, STT_FUNC, SEC_TEXT },
};

/* A new process: it knows nothing but the ledger. */
static void open_control(struct rig *r)
{
	const struct vp_control_config cfg = {
		.target = &r->w->fake->target,
		.engine = r->w->engine,
		.symbols = r->symbols,
		.ledger = r->path,
		.strategy = VP_STRATEGY_STOP,
		.boot = 42,
		.short_lived = true,
	};

	assert_int_equal(vp_control_new(&cfg, &r->control, NULL), 0);
}

static void another_process(struct rig *r)
{
	vp_control_free(r->control);
	vp_engine_free(r->w->engine);
	assert_int_equal(vp_engine_new(&r->w->fake->target, &r->w->engine, NULL), 0);
	open_control(r);
}

static int setup(void **state)
{
	static struct elf_image image;
	struct rig *r = calloc(1, sizeof(*r));
	void *world;

	strcpy(r->dir, "/tmp/vmpoke-unit-XXXXXX");
	if (fake_world_setup(&world) || !mkdtemp(r->dir))
		return -1;
	r->w = world;
	snprintf(r->path, sizeof(r->path), "%s/vm.jsonl", r->dir);
	elf_build(&image, symbols, 2);
	*state = r;
	if (vp_symtab_load(image.bytes, image.len, "test", &r->symbols, NULL))
		return -1;
	open_control(r);
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	void *world = r->w;

	vp_control_free(r->control);
	vp_symtab_free(r->symbols);
	unlink(r->path);
	rmdir(r->dir);
	free(r);
	return fake_world_teardown(&world);
}

/* Run a command with arguments as JSON text; what it returns, and the error's text. */
static json_t *call(struct rig *r, const char *name, const char *args, int *code,
		    struct vp_err *err)
{
	const struct vp_qmp_command *cmd = vp_control_commands;
	json_t *json = json_loads(args, 0, NULL), *ret;
	int fd = -1;

	assert_non_null(json);
	while (cmd->name && strcmp(cmd->name, name))
		cmd++;
	assert_non_null(cmd->name);
	*code = 0;
	ret = cmd->fn(r->control, json, &fd, code, err);
	assert_true((ret != NULL) == (*code == 0));
	json_decref(json);
	return ret;
}

static void succeeds(struct rig *r, const char *name, const char *args)
{
	struct vp_err err = { "" };
	int code;
	json_t *ret = call(r, name, args, &code, &err);

	if (!ret)
		fail_msg("%s: %s", name, err.text);
	json_decref(ret);
}

static void fails(struct rig *r, const char *name, const char *args, int want, const char *why)
{
	struct vp_err err = { "" };
	int code;

	assert_null(call(r, name, args, &code, &err));
	assert_int_equal(code, want);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" has no \"%s\"", err.text, why);
}

#define POKE(where)                                                                 \
	"{\"sites\": [{\"addr\": \"" where "\", \"old\": \"0f1f440000\", \"new\": " \
	"\"e910000000\"}]}"

/* One member of the only batch of query-pokes, as text. */
static void expect_poke(struct rig *r, size_t batches, const char *key, const char *value)
{
	struct vp_err err;
	int code;
	json_t *list = call(r, "query-pokes", "{}", &code, &err), *batch;

	assert_int_equal(json_array_size(list), batches);
	batch = json_array_get(list, batches - 1);
	if (!json_object_get(batch, key))
		batch = json_array_get(json_object_get(batch, "sites"), 0);
	if (batches)
		assert_string_equal(json_string_value(json_object_get(batch, key)), value);
	json_decref(list);
}

static void test_across_processes(void **state)
{
	struct rig *r = *state;
	struct fake *f = r->w->fake;

	succeeds(r, "poke", POKE("place_a"));
	another_process(r);
	succeeds(r, "poke", POKE("place_b"));
	another_process(r);
	expect_poke(r, 2, "now", "new");
	expect_poke(r, 2, "symbol", "place_b");
	expect_poke(r, 2, "command", "poke");
	fake_at(f, B)[1] ^= 1; /* somebody else's doing is seen, and not undone */
	expect_poke(r, 2, "now", "other");
	fails(r, "revert", "{}", -ESTALE, "not the old bytes");
	fake_at(f, B)[1] ^= 1;
	succeeds(r, "revert", "{\"id\": 1}");
	assert_memory_equal(fake_at(f, A), NOP5, 5);
	assert_memory_equal(fake_at(f, B), JMP5, 5);
	another_process(r);
	fails(r, "revert", "{\"id\": 1}", -ENOENT, "no batch 1");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(f, B), NOP5, 5);
	expect_poke(r, 0, "", "");
}

/* Newest first where they cover the same bytes. */
static void test_order(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	another_process(r);
	succeeds(r, "poke",
		 "{\"sites\": [{\"addr\": \"place_a\", \"old\": \"e910000000\", \"new\": "
		 "\"e920000000\"}]}");
	another_process(r);
	fails(r, "revert", "{\"id\": 1}", -EBUSY, "batch 2");
	succeeds(r, "revert", "{}");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
}

static void test_refused_is_not_recorded(void **state)
{
	struct rig *r = *state;
	struct vp_err err;
	json_t *lines;
	int code;

	fails(r, "poke", POKE("place_a+1"), -EINVAL, "inside the instruction at place_a+0x0");
	fails(r, "poke", POKE("place_a+5"), -ESTALE, "");
	fails(r, "poke", POKE("nowhere"), -ENOENT, "nowhere");
	lines = call(r, "query-ledger", "{}", &code, &err);
	assert_int_equal(json_array_size(lines), 0);
	json_decref(lines);
}

/* A ledger that cannot be written: not one byte is changed. */
static void test_no_ledger_no_poke(void **state)
{
	struct rig *r = *state;
	struct vp_control_config cfg = {
		.target = &r->w->fake->target,
		.engine = r->w->engine,
		.symbols = r->symbols,
		.ledger = "/proc/nowhere/vm.jsonl",
	};

	vp_control_free(r->control);
	assert_int_equal(vp_control_new(&cfg, &r->control, NULL), 0);
	fails(r, "poke", POKE("place_a"), -ENOENT, "/proc/nowhere");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
}

/* --- death in mid-batch --------------------------------------------------------- */

static char kept[65536];
static size_t kept_len;

/* Before the last line goes to disk: what a process that dies here leaves behind. */
static void keep_ledger(struct fake *f, const char *op)
{
	FILE *file;

	if (strcmp(op, "resume"))
		return;
	file = fopen(f->hook_arg, "r");
	assert_non_null(file);
	kept_len = fread(kept, 1, sizeof(kept), file);
	fclose(file);
}

static void poke_and_die(struct rig *r)
{
	FILE *file;

	r->w->fake->hook = keep_ledger;
	r->w->fake->hook_arg = r->path;
	succeeds(r, "poke",
		 "{\"sites\": [{\"addr\": \"place_a\", \"old\": \"0f1f440000\", \"new\": "
		 "\"e910000000\"}, {\"addr\": \"place_b\", \"old\": \"0f1f440000\", \"new\": "
		 "\"e910000000\"}]}");
	r->w->fake->hook = NULL;
	file = fopen(r->path, "w");
	assert_int_equal(fwrite(kept, 1, kept_len, file), kept_len);
	fclose(file);
	another_process(r);
}

static void test_died_after_the_last_write(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_poke(r, 1, "now", "new");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, B), NOP5, 5);
}

static void test_died_before_the_first(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, A), NOP5, 5);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_poke(r, 0, "", "");
}

static void test_died_in_between(void **state)
{
	struct rig *r = *state;
	struct vp_err err = { "" };
	size_t sites;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), NOP5, 4); /* the last byte is new, and equal */
	assert_int_equal(vp_control_check(r->control, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "vmpoke recover"));
	assert_memory_equal(fake_at(r->w->fake, A), JMP5, 5);
	assert_int_equal(vp_control_recover(r->control, &sites, NULL), 0);
	assert_int_equal(sites, 2);
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	assert_memory_equal(fake_at(r->w->fake, B), NOP5, 5);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	assert_int_equal(vp_control_recover(r->control, &sites, NULL), 0);
	assert_int_equal(sites, 0);
	expect_poke(r, 0, "", "");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_across_processes),	   T(test_order),
		T(test_refused_is_not_recorded),   T(test_no_ledger_no_poke),
		T(test_died_after_the_last_write), T(test_died_before_the_first),
		T(test_died_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
