/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each exit code is what its line in docs/vmpoke.1 says: every way in which the target can fail, at
 * every step of a batch, through the commands to the code; and what it says is held against the
 * guest's bytes, whether the guest stands still, and the ledger.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "control/exit_code.h"
#include "control_rig.h"
#include "unit.h"

#define TWO_SITES                                                                     \
	"{\"addr\": \"place_a\", \"old\": \"0f1f440000\", \"new\": \"e910000000\"}, " \
	"{\"addr\": \"place_b\", \"old\": \"0f1f440000\", \"new\": \"e910000000\"}"
#define TWO(strategy) \
	"{\"sites\": [" TWO_SITES "], \"strategy\": \"" strategy "\", \"timeout\": 20}"

struct failure {
	const char *name;
	void (*make)(struct fake *f, unsigned int n); /* at the n-th time */
	unsigned int times;			      /* n is 1 to this */
	/* A write that fails in its middle: int3 is for targets that write all or nothing. */
	bool stop_only;
};

static void fail_write(struct fake *f, unsigned int n)
{
	f->fail_write = true;
	f->writes_left = n;
}

static void break_writes(struct fake *f, unsigned int n)
{
	fail_write(f, n);
	f->write_stays_broken = true;
}

static void fail_sync(struct fake *f, unsigned int n)
{
	f->fail_sync = (int)n;
}

static void never_answer(struct fake *f, unsigned int n)
{
	fail_sync(f, n);
	f->never_answers = true;
}

static const int codes[] = { -EIO,	  -EFAULT,     -EBUSY, -ETIMEDOUT, -EAGAIN,
			     -ECONNRESET, -EOPNOTSUPP, -EPERM, -ENOTCONN };
#define NCODES (sizeof(codes) / sizeof(codes[0]))

static void fail_stop(struct fake *f, unsigned int n)
{
	f->stop_rc = codes[n - 1];
}

static void fail_arm(struct fake *f, unsigned int n)
{
	f->arm_rc = codes[n - 1];
}

static void not_writable(struct fake *f, unsigned int n)
{
	f->writable_rc = codes[n - 1];
}

/* The guest itself writes there, at the n-th operation. */
static unsigned int ops_left;

static void write_meanwhile(struct fake *f, const char *op)
{
	(void)op;
	if (ops_left && !--ops_left)
		fake_at(f, B)[3] ^= 0x40;
}

static void guest_writes(struct fake *f, unsigned int n)
{
	ops_left = n;
	f->hook = write_meanwhile;
}

static const struct failure failures[] = {
	{ "a write fails", fail_write, 6, true },
	{ "writes fail from then on", break_writes, 6, true },
	{ "a sync fails", fail_sync, 4, false },
	{ "syncs fail from then on", never_answer, 4, false },
	{ "stop fails", fail_stop, NCODES, false },
	{ "arm fails", fail_arm, NCODES, false },
	{ "it may not be written", not_writable, NCODES, false },
	{ "the guest writes there", guest_writes, 24, false },
};

/* What became of it. */
struct outcome {
	int code;
	bool same;	/* not one byte is different */
	bool half;	/* some of the sites is neither old nor new, or they differ */
	bool abandoned; /* the guest was left stopped */
	bool begun, ended;
	char what[128];
};

static bool stands(struct fake *f, uint64_t gva, const char *bytes)
{
	return !memcmp(fake_at(f, gva), bytes, 5);
}

static void look(struct rig *r, const uint8_t *before, struct outcome *o)
{
	struct fake *f = r->w->fake;
	bool old_a = stands(f, A, NOP5), old_b = stands(f, B, NOP5), new_a = stands(f, A, JMP5),
	     new_b = stands(f, B, JMP5);
	struct vp_err err;
	int code;
	json_t *lines = call(r, "query-ledger", "{}", &code, &err);
	const json_t *last = json_array_get(lines, json_array_size(lines) - 1);
	const char *event = json_string_value(json_object_get(last, "event"));

	o->same = !memcmp(before, f->ram, FAKE_RAM);
	o->half = !(old_a && old_b) && !(new_a && new_b);
	o->abandoned = strstr(f->trace, "abandon") != NULL;
	o->begun = event != NULL;
	o->ended = event && strcmp(event, "begin") != 0;
	json_decref(lines);
}

/* The lines of EXIT STATUS, as far as they speak of writing. */
static void judge(const struct outcome *o, bool guest_wrote)
{
	bool well = true;

	switch (o->code) {
	case VP_EXIT_OK:
		well = (!o->half || guest_wrote) && o->ended && !o->abandoned;
		break;
	case VP_EXIT_FAILED: /* applied, but: only the guest can do that in the last step */
		well = guest_wrote && o->ended && !o->abandoned;
		break;
	case VP_EXIT_REFUSED: /* perhaps at the second try, after one that was rolled back */
	case VP_EXIT_UNREACHABLE:
	case VP_EXIT_ROLLED_BACK:
		well = (o->same || guest_wrote) && (!o->begun || o->ended) && !o->abandoned;
		break;
	case VP_EXIT_HALF:
		well = o->abandoned && o->begun && !o->ended;
		break;
	default:
		well = false;
	}
	if (!well || (o->half && !guest_wrote && o->code != VP_EXIT_HALF))
		fail_msg("%s: exit code %d, but same %d, half %d, left stopped %d, begun %d, ended "
			 "%d",
			 o->what, o->code, o->same, o->half, o->abandoned, o->begun, o->ended);
}

static unsigned int seen[VP_EXIT_HALF + 1];

static void try_one(const struct failure *failure, unsigned int n, const char *strategy)
{
	struct outcome o = { 0 };
	struct vp_err err = { "" };
	uint8_t *before = malloc(FAKE_RAM);
	struct fake *f;
	struct rig *r;
	void *state;
	int code;

	assert_int_equal(control_rig_setup(&state), 0);
	r = state;
	f = r->w->fake;
	assert_non_null(before);
	memcpy(before, f->ram, FAKE_RAM);
	failure->make(f, n);
	json_decref(
		call(r, "poke", strcmp(strategy, "stop") ? TWO("int3") : TWO("stop"), &code, &err));
	f->hook = NULL;
	ops_left = 0;
	snprintf(o.what, sizeof(o.what), "%s, %s, %u (%.50s)", failure->name, strategy, n,
		 err.text);
	o.code = vp_exit_code(code);
	f->fail_write = f->write_stays_broken = f->never_answers = false;
	f->fail_sync = 0;
	/* What a vCPU kept waiting is guarded until it answers. */
	assert_int_equal(vp_engine_settle(r->w->engine, 20, NULL), 0);
	look(r, before, &o);
	judge(&o, failure->make == guest_writes);
	seen[o.code]++;
	free(before);
	control_rig_teardown(&state);
}

static void test_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		for (unsigned int n = 1; n <= failures[i].times; n++) {
			try_one(&failures[i], n, "stop");
			if (!failures[i].stop_only)
				try_one(&failures[i], n, "int3");
		}
	/* The table is worth something only if it gets everywhere. */
	assert_true(seen[VP_EXIT_OK] && seen[VP_EXIT_REFUSED] && seen[VP_EXIT_UNREACHABLE] &&
		    seen[VP_EXIT_ROLLED_BACK] && seen[VP_EXIT_HALF]);
}

/* The whole mapping: an errno that nobody thought of is a check that failed. */
static void test_mapping(void **state)
{
	(void)state;
	assert_int_equal(vp_exit_code(0), VP_EXIT_OK);
	assert_int_equal(vp_exit_code(-EUCLEAN), VP_EXIT_HALF);
	assert_int_equal(vp_exit_code(-VP_EAPPLIED), VP_EXIT_FAILED);
	assert_int_equal(vp_exit_code(-EIO), VP_EXIT_UNREACHABLE);
	assert_int_equal(vp_exit_code(-ECANCELED), VP_EXIT_ROLLED_BACK);
	assert_int_equal(vp_exit_code(-EREMOTEIO), VP_EXIT_UNREACHABLE);
	assert_int_equal(vp_exit_code(-E2BIG), VP_EXIT_REFUSED);
	assert_int_equal(vp_exit_code_of_open(-ENOENT), VP_EXIT_UNREACHABLE);
	assert_int_equal(vp_exit_code_of_open(-ETIMEDOUT), VP_EXIT_UNREACHABLE);
	assert_int_equal(vp_exit_code_of_open(-EIO), VP_EXIT_UNREACHABLE);
	assert_int_equal(vp_exit_code_of_open(-EUCLEAN), VP_EXIT_HALF);
	assert_int_equal(vp_exit_code_of_open(-EBUSY), VP_EXIT_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
