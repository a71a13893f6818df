/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "control_rig.h"
#include "elf_build.h"
#include "unit.h"

static const struct elf_symbol symbols[] = {
	{ "place_a", A, 5, STT_FUNC, SEC_TEXT },
	{ "place_b", B, 5, STT_FUNC, SEC_TEXT },
};

/* A new process: it knows nothing but the ledger. */
void open_control(struct rig *r)
{
	struct vp_control_config cfg = {
		.target = &r->w->fake->target,
		.engine = r->w->engine,
		.symbols = r->symbols,
		.ledger = r->path,
		.strategy = VP_STRATEGY_STOP,
		.boot = r->boot,
		.ledger_wait_ms = 20,
		.short_lived = true,
	};

	strcpy(cfg.process, r->process);
	assert_int_equal(vp_control_new(&cfg, &r->control, NULL), 0);
}

void another_process(struct rig *r)
{
	vp_control_free(r->control);
	vp_engine_free(r->w->engine);
	assert_int_equal(vp_engine_new(&r->w->fake->target, &r->w->engine, NULL), 0);
	open_control(r);
}

int control_rig_setup(void **state)
{
	static struct elf_image image;
	struct rig *r = calloc(1, sizeof(*r));
	void *world;

	strcpy(r->dir, "/tmp/vmpoke-unit-XXXXXX");
	if (fake_world_setup(&world) || !mkdtemp(r->dir))
		return -1;
	r->w = world;
	snprintf(r->path, sizeof(r->path), "%s/vm.jsonl", r->dir);
	r->boot = 42;
	elf_build(&image, symbols, 2);
	*state = r;
	if (vp_symtab_load(image.bytes, image.len, "test", &r->symbols, NULL))
		return -1;
	open_control(r);
	return 0;
}

int control_rig_teardown(void **state)
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
json_t *call(struct rig *r, const char *name, const char *args, int *code, struct vp_err *err)
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

void succeeds(struct rig *r, const char *name, const char *args)
{
	struct vp_err err = { "" };
	int code;
	json_t *ret = call(r, name, args, &code, &err);

	if (!ret)
		fail_msg("%s: %s", name, err.text);
	json_decref(ret);
}

void fails(struct rig *r, const char *name, const char *args, int want, const char *why)
{
	struct vp_err err = { "" };
	int code;

	assert_null(call(r, name, args, &code, &err));
	assert_int_equal(code, want);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" has no \"%s\"", err.text, why);
}

/* One member of a batch of query-pokes, or of its first site, as text. */
void expect_poke_at(struct rig *r, size_t at, const char *key, const char *value)
{
	struct vp_err err;
	int code;
	json_t *list = call(r, "query-pokes", "{}", &code, &err);
	const json_t *batch = json_array_get(list, at);

	if (!json_object_get(batch, key))
		batch = json_array_get(json_object_get(batch, "sites"), 0);
	assert_string_equal(json_string_value(json_object_get(batch, key)), value);
	json_decref(list);
}

/* There are that many, and so it is with the newest. */
void expect_poke(struct rig *r, size_t batches, const char *key, const char *value)
{
	struct vp_err err;
	int code;
	json_t *list = call(r, "query-pokes", "{}", &code, &err);

	assert_int_equal(json_array_size(list), batches);
	json_decref(list);
	if (batches)
		expect_poke_at(r, batches - 1, key, value);
}

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

void poke_and_die(struct rig *r)
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

struct vp_recovered recover(struct rig *r, const struct vp_recover *what, int want)
{
	static const struct vp_recover nothing;
	struct vp_recovered done = { 0 };
	struct vp_err err = { "" };
	int rc = vp_control_recover(r->control, what ? what : &nothing, &done, &err);

	if (rc != want)
		fail_msg("recover gives %d, not %d: %s", rc, want, err.text);
	return done;
}
