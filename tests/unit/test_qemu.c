/* SPDX-License-Identifier: Apache-2.0 */
/* The qemu target against the fake QEMU: how it is meant to be used, and what is refused. */
#include "qemu_fixture.h"

#include <unistd.h>

static void test_both_ways(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_qemu_info a, b;

	assert_int_equal(f->q->stops, 0); /* looking does not stop it */
	use(f, q);
	assert_int_equal(f->q->stops, 1);
	assert_int_equal(vp_qemu_describe(q, &a, &f->err), 0);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);

	q = open_well(f, &f->gdb);
	assert_true(runs(f));
	use(f, q);
	assert_int_equal(vp_qemu_describe(q, &b, &f->err), 0);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
	assert_false(f->q->physical);

	assert_string_equal(a.identity, "11111111-2222-3333-4444-555555555555");
	assert_string_equal(a.identity, b.identity);
	assert_string_equal(a.name, "fake");
	assert_string_equal(a.accel, "tcg");
	assert_string_equal(b.state_text, "running");
	assert_int_equal(a.vcpus, 2);
	assert_int_equal(b.state, VP_QEMU_RUNNING);
}

/* Every vCPU is seen, however many there are; if one is not, that is an error. */
static void test_many_vcpus(void **state)
{
	struct fixture *f = *state;
	size_t one = strlen(fake_registers) / 2, len = 0;
	char *text = malloc(300 * (one + 8));
	struct vp_vcpu_state s;
	struct vp_qemu_info info;

	for (unsigned int i = 0; i < 300; i++)
		len += (size_t)sprintf(text + len, "\r\nCPU#%u%.*s", i, (int)one - 7,
				       fake_registers + 7);
	memcpy(strstr(strstr(text, "CPU#299"), "RIP=") + 4, "00000000deadbeef", 16);
	f->q->registers = text;
	for (int way = 0; way < 2; way++) {
		struct vp_qemu *q = open_well(f, way ? &f->gdb : &f->qmp);
		struct vp_target *t = vp_qemu_target(q);

		assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
		assert_int_equal(info.vcpus, 300);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
		assert_int_equal(t->ops->hold(t, 299, &s, &f->err), 0);
		assert_int_equal(s.regs.rip, 0xdeadbeef);
		assert_int_equal(t->ops->hold(t, 300, &s, &f->err), -ERANGE);
		t->ops->resume(t);
		t->ops->unlock(t);
		f->q->hidden_vcpus = 1;
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->hold(t, 0, &s, &f->err), -EPROTO);
		assert_non_null(strstr(f->err.text, "301 vCPUs"));
		f->q->hidden_vcpus = 0;
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
	free(text);
}

/* Memory cannot be handed over: it is read in windows then, and all works. */
static void test_no_pmemsave(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q;

	f->q->no_pmemsave = true;
	q = open_well(f, &f->qmp);
	use(f, q);
	assert_true(f->q->stops > 1);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

/* Over the stub alone every read takes a window: a long one lets the guest run in between. */
static void test_long_reads(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->gdb);
	struct vp_target *t = vp_qemu_target(q);
	static uint8_t buf[0xff001];
	unsigned int stops = f->q->stops;

	for (size_t i = 0; i < sizeof(buf); i++)
		f->q->ram[0x100000 + i] = (uint8_t)(i * 7 / 3);
	assert_int_equal(t->ops->read(t, VP_GPA(0x100000), buf, sizeof(buf), &f->err), 0);
	assert_memory_equal(buf, f->q->ram + 0x100000, sizeof(buf));
	assert_in_range(f->q->stops - stops, 4, 64);
	assert_int_equal(t->ops->read(t, VP_GPA(0x200000 - 0x1000), buf, 0x1001, &f->err), -EFAULT);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

/* Page tables that are none lead to no RAM a thousand times: QEMU is asked about it once. */
static void test_reads_of_nothing(void **state)
{
	struct fixture *f = *state;
	const struct vp_qemu_config *const ways[] = { &f->qmp, &f->gdb };
	uint8_t buf[8];

	for (size_t i = 0; i < 2; i++) {
		struct vp_qemu *q = open_well(f, ways[i]);
		struct vp_target *t = vp_qemu_target(q);
		unsigned int messages;

		assert_int_equal(t->ops->lock(t, &f->err), 0);
		messages = f->q->messages;
		for (uint64_t at = 0; at < 100; at++)
			assert_int_equal(t->ops->read(t, VP_GPA(0x7000000000 + at * 0x1000), buf, 8,
						      &f->err),
					 -EFAULT);
		assert_in_range(f->q->messages - messages, 0, 20);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* From QEMU 8.1 on the stub tells nothing of the stop; all works the same. */
static void test_silent_stub(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q;

	set_version(f, 11, 1);
	for (int i = 0; i < 2; i++) {
		q = open_well(f, i ? &f->gdb : &f->qmp);
		assert_true(runs(f));
		use(f, q);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/*
 * QEMU keeps what it is given until that is taken back: by us, or by whoever comes after one that
 * was killed. What others gave it is theirs.
 */
static void test_descriptors(void **state)
{
	static const char *const others[] = { "the owner's", "vmpoke:1:1:1", "" };
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->qmp;

	repair.repair = repaired;
	repair.repair_arg = f;
	for (int i = 0; i < 20; i++) {
		struct vp_qemu *q = open_well(f, &f->qmp);

		use(f, q);
		assert_int_equal(f->q->nshared, 1);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_int_equal(f->q->nshared, 0);
		assert_int_equal(f->q->passed, -1);
		assert_false(f->q->own_stub);
	}
	for (size_t i = 0; i < 3; i++)
		f->q->shared[i] = (struct fake_fd){ .fd = dup(2), .opaque = strdup(others[i]) };
	f->q->nshared = 3;
	f->q->ram[SITE.v] = 0x90;
	be_killed(&f->qmp);
	assert_int_equal(f->q->nshared, 4);
	assert_int_equal(vp_qemu_close(open_well(f, &repair), &f->err), 0);
	assert_int_equal(f->q->nshared, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(f->q->shared[i].opaque, others[i]);
	f->q->no_pmemsave = true;
	assert_int_equal(vp_qemu_close(open_well(f, &f->qmp), &f->err), 0);
	assert_int_equal(f->q->nshared, 3);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config none = { .state_dir = f->state_dir };
	const char *features;
	struct vp_qemu *q;
	struct vp_target *t;

	refused(f, &none, -EINVAL, "neither");
	f->q->arch = "aarch64";
	refused(f, &f->qmp, -EOPNOTSUPP, "aarch64");
	refused(f, &f->gdb, -EOPNOTSUPP, "x86-64");
	assert_true(runs(f));
	set_version(f, 11, 1);
	refused(f, &f->gdb, -EOPNOTSUPP, "x86-64");
	assert_true(runs(f));
	set_version(f, 7, 2);
	f->q->arch = "x86_64";
	features = f->q->features;
	f->q->features = "qXfer:features:read+";
	refused(f, &f->gdb, -EPROTO, "multiprocess");
	assert_true(runs(f));
	f->q->features = features;

	q = open_well(f, &f->qmp);
	t = vp_qemu_target(q);
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->lock(t, &f->err), -EDEADLK); /* not twice */
	assert_non_null(strstr(f->err.text, "callback"));
	assert_int_equal(t->ops->arm(t, 1, &f->err), -EOPNOTSUPP);
	assert_non_null(strstr(f->err.text, "--strategy stop"));
	assert_int_equal(t->ops->write(t, SITE, "x", 1, &f->err), -EPERM);
	f->q->migrate = "active";
	assert_int_equal(t->ops->writable(t, &f->err), -EBUSY);
	assert_non_null(strstr(f->err.text, "migrated"));
	f->q->migrate = NULL;
	t->ops->unlock(t);
	vp_qemu_close(q, NULL);
}

/* It can be described, and no byte of it is read or written. */
static void one_confidential(struct fixture *f, const struct vp_qemu_config *cfg, const char *kind)
{
	struct vp_qemu *q = open_well(f, cfg);
	struct vp_target *t = vp_qemu_target(q);
	struct vp_qemu_info info;
	struct vp_vcpu_state s;
	uint8_t byte;

	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_string_equal(info.confidential, kind);
	assert_string_equal(info.name, "fake");
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->writable(t, &f->err), -ENOKEY);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), -ENOKEY);
	assert_int_equal(t->ops->hold(t, -1, &s, &f->err), -ENOKEY);
	t->ops->unlock(t);
	assert_non_null(strstr(f->err.text, kind));
	assert_non_null(strstr(f->err.text, "impossible by design"));
	assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), -ENOKEY);
	assert_int_equal(t->ops->ram(t, NULL, NULL, &f->err), -ENOKEY);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

static void test_confidential(void **state)
{
	static const struct {
		const char *type;
		int sev, policy;
		const char *sev_type, *by_qmp, *by_gdb;
	} cases[] = {
		{ "sev-guest", FAKE_SEV_ON, 1, NULL, "SEV", "SEV" },
		{ "sev-guest", FAKE_SEV_ON, 5, "sev", "SEV-ES", "SEV" },
		{ "sev-snp-guest", FAKE_SEV_ON, 0, "sev-snp", "SEV-SNP", "SEV-SNP" },
		{ "tdx-guest", FAKE_SEV_OFF, 0, "sev", "TDX", "TDX" },
		{ "tdx-guest", FAKE_SEV_NONE, 0, NULL, "TDX", "TDX" },
		{ "cca-guest", FAKE_SEV_NONE, 0, NULL, "cca-guest", "cca-guest" },
	};
	struct fixture *f = *state;
	struct vp_qemu_info info;
	struct vp_qemu *q;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->q->confidential = cases[i].type;
		f->q->sev = cases[i].sev;
		f->q->sev_policy = cases[i].policy;
		f->q->sev_type = cases[i].sev_type;
		f->q->stops = 0;
		one_confidential(f, &f->qmp, cases[i].by_qmp);
		assert_int_equal(f->q->stops, 0);
		one_confidential(f, &f->gdb, cases[i].by_gdb);
	}
	f->q->confidential = NULL;
	f->q->sev = FAKE_SEV_ON; /* told in another way than we know */
	one_confidential(f, &f->qmp, "SEV");
	f->q->sev = FAKE_SEV_OFF;
	q = open_well(f, &f->qmp);
	use(f, q);
	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_string_equal(info.confidential, "");
	vp_qemu_close(q, NULL);
}

/* A stub that is not to be used is left as it was found: what somebody has paused stays so. */
static void test_useless_stub(void **state)
{
	static const struct {
		int major, minor;
		bool no_monitor, paused, runs;
	} cases[] = {
		{ 7, 2, false, false, true },
		{ 7, 2, false, true, false },
		{ 11, 1, false, false, true }, /* nobody tells: it was us, as far as is known */
		{ 11, 1, true, true, false },  /* gdbserver, rr: it announces nothing either */
	};
	struct fixture *f = *state;

	f->q->features = "qXfer:features:read+";
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_version(f, cases[i].major, cases[i].minor);
		pthread_mutex_lock(&f->q->lock);
		f->q->no_monitor = cases[i].no_monitor;
		cases[i].paused ? fake_qemu_pause(f->q) : fake_qemu_cont(f->q);
		f->q->resumes = 0;
		pthread_mutex_unlock(&f->q->lock);
		refused(f, &f->gdb, -EPROTO, "multiprocess");
		if (cases[i].runs)
			assert_true(runs(f));
		assert_int_equal(f->q->running, cases[i].runs);
		assert_int_equal(f->q->resumes, cases[i].runs);
		/* No mark is left: with a stub that is as it should be it can be used at once. */
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
	}
	f->q->no_monitor = false;
	f->q->features = "qXfer:features:read+;multiprocess+";
	assert_int_equal(vp_qemu_close(open_well(f, &f->gdb), &f->err), 0);
}

/* A gdbstub given as a QMP socket: its VM is as it was, whether the stub tells of its stop or not.
 */
static void test_stub_for_qmp(void **state)
{
	static const struct {
		int major, minor;
		bool paused;
	} cases[] = { { 7, 2, false }, { 7, 2, true }, { 11, 1, false } };
	struct fixture *f = *state;
	struct vp_qemu_config wrong = f->qmp;

	wrong.qmp_path = f->q->gdb_path;
	wrong.timeout_ms = 1000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_version(f, cases[i].major, cases[i].minor);
		if (cases[i].paused)
			fake_qemu_pause(f->q);
		refused(f, &wrong, -EPROTO, "write qemu+gdb:");
		if (!cases[i].paused)
			assert_true(runs(f));
		assert_int_equal(f->q->running, !cases[i].paused);
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
	}
}

static void test_paused(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_info info;
	struct vp_qemu *q;

	fake_qemu_pause(f->q);
	not_stopped(f, -EBUSY, "resume it");
	refused(f, &f->gdb, -EBUSY, "is paused");
	q = open_well(f, &f->qmp); /* it can be looked at */
	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_int_equal(info.state, VP_QEMU_PAUSED);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_false(f->q->running);
	assert_int_equal(f->q->resumes, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, qemu_setup, qemu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways),	TEST(test_many_vcpus),	     TEST(test_no_pmemsave),
		TEST(test_long_reads),	TEST(test_reads_of_nothing), TEST(test_silent_stub),
		TEST(test_descriptors), TEST(test_refusals),	     TEST(test_confidential),
		TEST(test_paused),	TEST(test_useless_stub),     TEST(test_stub_for_qmp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
