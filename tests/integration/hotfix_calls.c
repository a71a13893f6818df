/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of guest functions, for hotfix-calls.sh:
 *
 *	hotfix_calls TARGET cycle N	N times: get memory of all three kinds, write text, free it
 *	hotfix_calls TARGET call FN [ARG...]	one call: its result; VMPOKE_CALL_MS bounds it
 *	hotfix_calls TARGET recover	after it was killed
 *
 * TARGET is qemu+gdb:PATH or qemu+qmp:PATH; VMPOKE_STATE_DIR as for vmpoke.
 */
#include "hotfix/arena.h"
#include "x86/walk.h"

#include <vmpoke/linux.h>
#include <vmpoke/qemu.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig {
	struct vp_qemu *q;
	struct vp_target *t;
	struct vp_linux *l;
	struct vp_call_site site;
	struct vp_arena_recipe recipe;
	struct vp_call_opts opts;
};

static int fail(const char *what, int rc, const struct vp_err *err)
{
	fprintf(stderr, "%s: %s (%d)\n", what, err->text, rc);
	return 1;
}

static int repair(void *arg, struct vp_target *t, const char *identity, const char *process,
		  struct vp_err *err)
{
	struct vp_call_recovered *done = arg;

	(void)identity, (void)process;
	return vp_call_recover(t, 0, NULL, NULL, done, err);
}

static int dial(struct rig *r, const char *target, struct vp_call_recovered *done,
		struct vp_err *err)
{
	struct vp_qemu_config cfg = {
		.keeper = "vmpoke", /* its own ledger, or vmpoke's: `recover` is to clean up */
		.state_dir = getenv("VMPOKE_STATE_DIR"),
		.repair = done ? repair : NULL,
		.repair_arg = done,
	};

	if (!strncmp(target, "qemu+gdb:", 9))
		cfg.gdb_path = target + 9;
	else if (!strncmp(target, "qemu+qmp:", 9))
		cfg.qmp_path = target + 9;
	if (!cfg.state_dir)
		return vp_err_set(err, -1, "VMPOKE_STATE_DIR is not set");
	return vp_qemu_open(&cfg, &r->q, err);
}

static int look(struct rig *r, struct vp_err *err)
{
	const char *ms = getenv("VMPOKE_CALL_MS");
	int rc;

	r->t = vp_qemu_target(r->q);
	r->opts.call_ms = ms ? (unsigned int)atoi(ms) : 0;
	rc = vp_linux_open(r->t, NULL, &r->l, err);
	if (!rc)
		rc = vp_call_site_find(r->l, &r->site, err);
	if (!rc)
		rc = vp_arena_recipe_find(r->l, &r->recipe, err);
	return rc;
}

/* --- cycles ----------------------------------------------------------------------- */

static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_target *t = arg;

	return t->ops->read(t, gpa, buf, len, err);
}

/* Into text, which the guest itself cannot write. */
static int write_text(struct rig *r, vp_gva at, struct vp_err *err)
{
	static const uint8_t code[] = { 0xb8, 0x92, 0x10, 0, 0, 0xc3 }; /* mov $4242,%eax; ret */
	const struct vp_phys_reader mem = { read_phys, r->t };
	struct vp_map map;
	int rc = r->t->ops->stop(r->t, 0, err);

	if (rc)
		return rc;
	rc = vp_walk(&vp_linux_info(r->l)->space, &mem, at, &map, err);
	if (!rc)
		rc = r->t->ops->write(r->t, map.gpa, code, sizeof(code), err);
	r->t->ops->resume(r->t);
	return rc;
}

static void say(const char *what, const struct vp_call_report *rep)
{
	printf("%s calls %u stops %u moved %u safe_ms %u calls_ms %u\n", what, rep->calls,
	       rep->stops, rep->moved, rep->safe_ms, rep->calls_ms);
}

/* The code that was written is called, too. */
static int one_cycle(struct rig *r, struct vp_err *err)
{
	const uint64_t size[VP_ARENA_KINDS] = { 8192, 4096, 5000 };
	struct vp_call call = { .name = "ours" };
	struct vp_call_report rep;
	struct vp_arena arena;
	size_t made = 0;
	int rc = vp_arena_alloc(r->t, &r->site, &r->recipe, size, &r->opts, &arena, &rep, err);

	if (rc)
		return rc;
	say("alloc", &rep);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		printf(" 0x%" PRIx64 "+0x%" PRIx64 "%s", arena.part[i].at.v, arena.part[i].size,
		       i + 1 == VP_ARENA_KINDS ? "\n" : "");
	rc = write_text(r, arena.part[VP_ARENA_TEXT].at, err);
	call.fn = arena.part[VP_ARENA_TEXT].at;
	if (!rc)
		rc = vp_call_list(r->t, &r->site, &r->opts, &call, 1, &made, err);
	if (!rc && call.result != 4242)
		rc = vp_err_set(err, -1, "our function answered %" PRIu64, call.result);
	if (rc == -EUCLEAN)
		return rc;
	if (vp_arena_free(r->t, &r->site, &r->recipe, &r->opts, &arena, &rep, rc ? NULL : err))
		return rc ? rc : -1;
	say("free", &rep);
	return rc;
}

static int cycle(struct rig *r, int n, struct vp_err *err)
{
	int rc = 0;

	for (int i = 0; i < n && !rc; i++) {
		rc = r->t->ops->lock(r->t, err);
		if (rc)
			return rc;
		rc = one_cycle(r, err);
		r->t->ops->unlock(r->t);
		fflush(stdout);
	}
	return rc;
}

static int call(struct rig *r, char **words, int n, struct vp_err *err)
{
	struct vp_call c = { .name = words[0] };
	size_t made = 0;
	int rc = vp_symtab_parse(vp_linux_symbols(r->l), words[0], &c.fn, err);

	for (int i = 1; i < n && i <= 6; i++)
		c.arg[i - 1] = strtoull(words[i], NULL, 0);
	if (!rc)
		rc = r->t->ops->lock(r->t, err);
	if (rc)
		return rc;
	rc = vp_call_list(r->t, &r->site, &r->opts, &c, 1, &made, err);
	r->t->ops->unlock(r->t);
	if (!rc)
		printf("result 0x%" PRIx64 "\n", c.result);
	return rc;
}

int main(int argc, char **argv)
{
	struct vp_call_recovered done = { 0 };
	struct vp_err err = { "" }, why = { "" };
	struct rig r = { 0 };
	bool recover = argc == 3 && !strcmp(argv[2], "recover");
	int rc;

	if (argc < 3)
		return 2;
	rc = dial(&r, argv[1], recover ? &done : NULL, &err);
	if (rc)
		return fail("open", rc, &err);
	if (recover)
		printf("found %d returned %d nr %u fn 0x%" PRIx64 " result 0x%" PRIx64 "\n",
		       done.found, done.returned, done.nr, done.fn.v, done.result);
	else
		rc = look(&r, &err);
	if (!rc && argc == 4 && !strcmp(argv[2], "cycle"))
		rc = cycle(&r, atoi(argv[3]), &err);
	if (!rc && argc >= 4 && !strcmp(argv[2], "call"))
		rc = call(&r, argv + 3, argc - 3, &err);
	vp_linux_free(r.l);
	if (vp_qemu_close(r.q, &why) && !rc)
		return fail("close", 1, &why);
	return rc ? fail(argv[2], rc, &err) : 0;
}
