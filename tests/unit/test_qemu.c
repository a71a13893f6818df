/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The qemu target against the fake QEMU. Above all: whatever goes wrong, the VM runs afterwards, or
 * it is marked, and then `repair` makes it run.
 */
#include "unit.h"

#include "fake_qemu.h"

#include <vmpoke/qemu.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_MS	 20000u
#define SHORT_MS 60u /* for answers that never come */
#define SITE	 VP_GPA(0x123456)

struct fixture {
	struct fake_qemu *q;
	char state_dir[40];
	struct vp_qemu_config qmp, gdb; /* the two ways */
	struct vp_err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->q = fake_qemu_new();
	strcpy(f->state_dir, "/tmp/vmpoke-state-XXXXXX");
	assert_non_null(mkdtemp(f->state_dir));
	f->qmp = f->gdb =
		(struct vp_qemu_config){ .state_dir = f->state_dir, .timeout_ms = HANG_MS };
	f->qmp.qmp_path = f->q->qmp_path;
	f->gdb.gdb_path = f->q->gdb_path;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	DIR *d = opendir(f->state_dir);
	struct dirent *e;

	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	assert_int_equal(rmdir(f->state_dir), 0);
	fake_qemu_free(f->q);
	free(f);
	return 0;
}

static bool runs(struct fixture *f)
{
	bool running;

	/* What was sent to it last may be on its way. */
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&f->q->lock);
		running = f->q->running;
		pthread_mutex_unlock(&f->q->lock);
		if (running)
			return true;
		usleep(1000);
	}
	return false;
}

static struct vp_qemu *open_well(struct fixture *f, const struct vp_qemu_config *cfg)
{
	struct vp_qemu *q = NULL;

	if (vp_qemu_open(cfg, &q, &f->err))
		fail_msg("%s", f->err.text);
	return q;
}

/* --- how it is meant to be used ------------------------------------------------ */

static void use(struct fixture *f, struct vp_qemu *q)
{
	struct vp_target *t = vp_qemu_target(q);
	uint8_t old = f->q->ram[SITE.v], bytes[4] = { 1, 2, 3, 4 }, back[300000];
	struct vp_vcpu_state s;

	assert_int_equal(t->ops->read(t, VP_GPA(0x100000), back, sizeof(back), &f->err), 0);
	assert_memory_equal(back, f->q->ram + 0x100000, sizeof(back));
	assert_int_equal(t->ops->read(t, VP_GPA(0x9fffe), back, 4, &f->err), -EFAULT);
	assert_int_equal(t->ops->read(t, VP_GPA(FAKE_RAM - 1), back, 2, &f->err), -EFAULT);
	assert_int_equal(t->ops->read(t, VP_GPA(UINT64_MAX), back, 2, &f->err), -EFAULT);

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->writable(t, &f->err), 0);
	assert_int_equal(t->ops->hold(t, -1, &s, &f->err), 0);
	assert_int_equal(s.paging.cr3, 0x194000);
	assert_int_equal(t->ops->hold(t, 2, &s, &f->err), -ERANGE);
	t->ops->release(t);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	assert_false(f->q->running);
	assert_int_equal(t->ops->hold(t, 1, &s, &f->err), 0);
	assert_int_equal(s.regs.rip, 0xffffffffa2a17a0c);
	assert_int_equal(t->ops->swap_head(t, SITE, (uint8_t)~old, 0xcc, &f->err), -EAGAIN);
	assert_int_equal(f->q->ram[SITE.v], old);
	assert_int_equal(t->ops->swap_head(t, SITE, old, 0xcc, &f->err), 0);
	assert_int_equal(f->q->ram[SITE.v], 0xcc);
	assert_int_equal(t->ops->write(t, VP_GPA(0x100010), bytes, 4, &f->err), 0);
	assert_int_equal(t->ops->swap_word(t, VP_GPA(0x100010), 0x04030201, 7, &f->err), 0);
	assert_int_equal(f->q->ram[0x100010], 7);
	assert_int_equal(t->ops->write(t, VP_GPA(0xa0000), bytes, 1, &f->err), -EFAULT);
	t->ops->resume(t);
	t->ops->unlock(t);
	assert_true(runs(f));
	assert_false(f->q->physical && !f->q->attached);
}

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

static void test_no_uuid(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_info a, b;
	struct vp_qemu *q;
	char want[32];

	f->q->uuid = "00000000-0000-0000-0000-000000000000";
	q = open_well(f, &f->qmp);
	assert_int_equal(vp_qemu_describe(q, &a, &f->err), 0);
	vp_qemu_close(q, NULL);
	q = open_well(f, &f->gdb);
	assert_int_equal(vp_qemu_describe(q, &b, &f->err), 0);
	vp_qemu_close(q, NULL);
	snprintf(want, sizeof(want), "qemu-%d-", (int)getpid()); /* who listens is this process */
	assert_memory_equal(a.identity, want, strlen(want));
	assert_string_equal(a.identity, b.identity);
	assert_memory_equal(a.process, want + 5, strlen(want + 5));
	assert_string_equal(a.process, b.process);
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

static void set_version(struct fixture *f, int major, int minor)
{
	pthread_mutex_lock(&f->q->lock);
	f->q->major = major;
	f->q->minor = minor;
	pthread_mutex_unlock(&f->q->lock);
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

/* Killed while the VM runs, by whatever signal: the owner's stub is as it was. */
static void test_mode_set_back(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->gdb);
	struct vp_target *t = vp_qemu_target(q);
	uint8_t byte;

	assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), 0);
	assert_true(runs(f));
	assert_false(f->q->physical);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
}

/* Between resume() and the next stop() the VM runs, whatever lock() has needed to read. */
static void test_resume_resumes(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		struct vp_qemu *q;
		struct vp_target *t;
		struct vp_vcpu_state s;
		uint8_t byte;

		f->q->no_pmemsave = true;
		q = open_well(f, i ? &f->gdb : &f->qmp);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		for (int try = 0; try < 3; try++) {
			assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
			assert_false(f->q->running);
			assert_int_equal(t->ops->held(t, &f->err), 0);
			t->ops->resume(t);
			assert_true(runs(f));
		}
		assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), 0);
		assert_int_equal(t->ops->hold(t, 0, &s, &f->err), 0);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* Its owner lets it go on while we hold it: that is noticed, nothing hangs, it runs at last. */
static void test_cont_in_window(void **state)
{
	struct fixture *f = *state;
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };

	for (int i = 0; i < 8; i++) {
		struct vp_qemu_config cfg = i & 1 ? f->gdb : f->qmp;
		struct vp_qemu *q;
		struct vp_target *t;
		uint8_t old;
		int rc = 0;

		set_version(f, versions[i / 2 % 2][0], versions[i / 2 % 2][1]);
		cfg.timeout_ms = 2000;
		q = open_well(f, &cfg);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
		old = f->q->ram[SITE.v];
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
		if (i >= 4) /* amid the writes, or behind the last */
			rc = t->ops->swap_head(t, SITE, old, (uint8_t)~old, &f->err);
		if (!rc)
			rc = t->ops->held(t, &f->err);
		assert_int_equal(rc, -EAGAIN);
		assert_non_null(strstr(f->err.text, "go on"));
		assert_false(f->q->running);
		/* The old bytes can be put back. */
		assert_int_equal(t->ops->write(t, SITE, &old, 1, &f->err), 0);
		assert_int_equal(f->q->ram[SITE.v], old);
		rc = t->ops->held(t, &f->err); /* QMP may tell it once more */
		assert_true(!rc || (i >= 4 && rc == -EAGAIN));
		assert_int_equal(t->ops->held(t, &f->err), 0);
		t->ops->resume(t);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

static void test_signals_wait(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);
	sigset_t set;

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	assert_true(sigismember(&set, SIGINT) && sigismember(&set, SIGTERM) &&
		    sigismember(&set, SIGTSTP));
	assert_true(sigismember(&set, SIGPIPE) && sigismember(&set, SIGXCPU) &&
		    sigismember(&set, SIGUSR1) && sigismember(&set, SIGRTMIN));
	assert_false(sigismember(&set, SIGSEGV)); /* blocked it would end us all the same */
	t->ops->resume(t);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	assert_false(sigismember(&set, SIGINT) || sigismember(&set, SIGTERM));
	t->ops->unlock(t);
	vp_qemu_close(q, NULL);
}

/* --- refusals ---------------------------------------------------------------------- */

static void refused(struct fixture *f, const struct vp_qemu_config *cfg, int code, const char *part)
{
	struct vp_qemu *q = NULL;

	assert_int_equal(vp_qemu_open(cfg, &q, &f->err), code);
	if (!strstr(f->err.text, part))
		fail_msg("'%s' lacks '%s'", f->err.text, part);
}

/* Open by QMP, and fail to stop it. */
static void not_stopped(struct fixture *f, int code, const char *part)
{
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), code);
	if (!strstr(f->err.text, part))
		fail_msg("'%s' lacks '%s'", f->err.text, part);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
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

/* QEMU has one gdbstub. The owner's is used if it is free, and never replaced. */
static void test_owners_stub(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q;

	snprintf(f->q->chardev, sizeof(f->q->chardev), "gdb disconnected:unix:%s,server=on",
		 f->q->gdb_path);
	q = open_well(f, &f->qmp);
	use(f, q);
	assert_false(f->q->own_stub);
	assert_int_equal(f->q->passed, -1);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	strcpy(f->q->chardev, "gdb unix:/some/where,server=on");
	not_stopped(f, -EBUSY, "debugger is attached");
	strcpy(f->q->chardev, "gdb disconnected:unix:gdb.sock,server=on");
	not_stopped(f, -EOPNOTSUPP, "relative path");
	strcpy(f->q->chardev, "gdb disconnected:tcp:0.0.0.0:1234,server=on");
	not_stopped(f, -EOPNOTSUPP, "no unix socket");
	strcpy(f->q->chardev, "vmpoke-gdb unix:");
	not_stopped(f, -EBUSY, "another vmpoke");
	strcpy(f->q->chardev, "");
	assert_int_equal(f->q->stops, 1);
}

/* A fake in a process of its own, until the pipe is closed. */
static pid_t other_vm(char *qmp, char *gdb, size_t size, int *end)
{
	int there[2], back[2];
	pid_t pid;

	assert_int_equal(pipe(there) | pipe(back), 0);
	pid = fork();
	if (!pid) {
		struct fake_qemu *q = fake_qemu_new();
		char c;

		close(there[1]);
		(void)!write(back[1], q->qmp_path, sizeof(q->qmp_path));
		(void)!write(back[1], q->gdb_path, sizeof(q->gdb_path));
		(void)!read(there[0], &c, 1);
		fake_qemu_free(q);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	assert_int_equal(size, sizeof(((struct fake_qemu *)0)->qmp_path));
	assert_int_equal(read(back[0], qmp, size), size);
	assert_int_equal(read(back[0], gdb, size), size);
	close(back[0]);
	*end = there[1];
	return pid;
}

static void end_other_vm(pid_t pid, int end)
{
	close(end);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The path that QEMU tells leads to another VM: nothing is written, neither is left stopped. */
static void test_strangers_stub(void **state)
{
	struct fixture *f = *state;
	char qmp[48], gdb[48];
	int end;
	pid_t pid = other_vm(qmp, gdb, sizeof(qmp), &end);
	struct vp_qemu_config other = f->qmp;
	struct vp_qemu_info info;
	struct vp_qemu *q;

	snprintf(f->q->chardev, sizeof(f->q->chardev), "gdb disconnected:unix:%s,server=on", gdb);
	not_stopped(f, -EOPNOTSUPP, "another process");
	assert_true(runs(f));
	assert_int_equal(f->q->resumes, 0);
	other.qmp_path = qmp;
	q = open_well(f, &other);
	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_int_equal(info.state, VP_QEMU_RUNNING);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	end_other_vm(pid, end);
}

/* The owner's stub cannot be reached, and somebody else has stopped the VM meanwhile: his affair.
 */
static void test_not_our_stop(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);

	snprintf(f->q->chardev, sizeof(f->q->chardev), "gdb disconnected:unix:%s/none,server=on",
		 f->q->dir);
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), -ENOENT);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_int_equal(f->q->stops, 0);
	assert_int_equal(f->q->conts, 0);
}

static void test_two_at_once(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config quick = f->qmp;
	struct vp_qemu *q;

	quick.timeout_ms = SHORT_MS;
	q = open_well(f, &f->qmp);
	refused(f, &quick, -ETIMEDOUT, "another client");
	vp_qemu_close(q, NULL);
	q = open_well(f, &f->gdb);
	quick = f->gdb;
	quick.timeout_ms = SHORT_MS;
	refused(f, &quick, -ETIMEDOUT, "another vmpoke");
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

/* --- killed in a window --------------------------------------------------------------- */

static int repaired(void *arg, struct vp_target *t, const char *identity, const char *process,
		    struct vp_err *err)
{
	struct fixture *f = arg;
	uint8_t now;

	assert_true(*process);
	assert_false(f->q->running);
	assert_string_equal(identity, "11111111-2222-3333-4444-555555555555");
	assert_int_equal(t->ops->read(t, SITE, &now, 1, err), 0);
	return now == 0xcc ? t->ops->swap_head(t, SITE, 0xcc, 0x90, err) : 0;
}

static int not_repaired(void *arg, struct vp_target *t, const char *identity, const char *process,
			struct vp_err *err)
{
	(void)arg, (void)t, (void)identity, (void)process;
	return vp_err_set(err, -ESTALE, "the ledger is lost");
}

/* A process that stops the VM, writes, and is killed. */
static void be_killed(const struct vp_qemu_config *cfg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct vp_qemu *q;
		struct vp_target *t;
		uint8_t old;

		if (!vp_qemu_open(cfg, &q, NULL)) {
			t = vp_qemu_target(q);
			if (!t->ops->lock(t, NULL) && !t->ops->stop(t, HANG_MS, NULL) &&
			    !t->ops->read(t, SITE, &old, 1, NULL) &&
			    !t->ops->swap_head(t, SITE, old, 0xcc, NULL))
				kill(getpid(), SIGKILL);
		}
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		const struct vp_qemu_config *way = i % 2 ? &f->gdb : &f->qmp;
		struct vp_qemu_config repair = i < 2 ? *way : f->qmp;
		struct vp_qemu_info info;
		struct vp_qemu *q;

		f->q->ram[SITE.v] = 0x90;
		be_killed(way);
		assert_false(f->q->running);
		assert_int_equal(f->q->ram[SITE.v], 0xcc);
		refused(f, way, -EBUSY, "vmpoke recover");
		refused(f, &f->qmp, -EBUSY, "vmpoke recover");
		repair.repair_arg = f;
		repair.repair = not_repaired;
		refused(f, &repair, -ESTALE, "ledger is lost");
		assert_false(f->q->running);
		refused(f, way, -EBUSY, "vmpoke recover");
		repair.repair = repaired;
		q = open_well(f, &repair);
		assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
		assert_true(info.recovered);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
		assert_int_equal(f->q->ram[SITE.v], 0x90);
		/* Both ways are free again; the socket of the stub has a mark of its own. */
		if (i == 3) {
			repair = f->gdb;
			repair.repair = repaired;
			repair.repair_arg = f;
			vp_qemu_close(open_well(f, &repair), NULL);
		}
		vp_qemu_close(open_well(f, &f->gdb), NULL);
		vp_qemu_close(open_well(f, &f->qmp), NULL);
		assert_true(runs(f));
	}
}

/*
 * Killed in a window, and the VM is no more: a new one at the same sockets, which stands still
 * since its owner started it so, is no affair of `recover`.
 */
static void test_killed_and_replaced(void **state)
{
	struct fixture *f = *state;
	char qmp[48], gdb[48];
	int end;
	pid_t pid = other_vm(qmp, gdb, sizeof(qmp), &end);
	struct vp_qemu_config other = f->qmp, repair = f->qmp;
	struct vp_qemu *q;

	other.qmp_path = qmp;
	f->q->ram[SITE.v] = 0x90;
	be_killed(&other);
	kill(pid, SIGKILL);
	end_other_vm(pid, end);
	unlink(qmp);
	unlink(gdb);
	*strrchr(gdb, '/') = 0;
	rmdir(gdb);
	fake_qemu_pause(f->q);
	repair.repair = not_repaired;
	q = open_well(f, &repair);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_false(f->q->running);
	assert_int_equal(f->q->resumes, 0);
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

/* Its owner let it go on: half a batch may stand there all the same. */
static void test_killed_and_resumed(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->qmp;

	f->q->ram[SITE.v] = 0x90;
	be_killed(&f->qmp);
	pthread_mutex_lock(&f->q->lock);
	fake_qemu_cont(f->q);
	pthread_mutex_unlock(&f->q->lock);
	refused(f, &f->qmp, -EBUSY, "vmpoke recover");
	repair.repair_arg = f;
	repair.repair = not_repaired;
	refused(f, &repair, -ESTALE, "ledger is lost");
	assert_true(runs(f));
	repair.repair = repaired;
	vp_qemu_close(open_well(f, &repair), NULL);
	assert_true(runs(f));
	assert_int_equal(f->q->ram[SITE.v], 0x90);
}

/* --- everything that can go wrong ------------------------------------------------------- */

static int attempt(const struct vp_qemu_config *cfg, struct vp_err *err)
{
	struct vp_qemu *q;
	struct vp_target *t;
	uint8_t old;
	int rc = vp_qemu_open(cfg, &q, err), closed;

	if (rc)
		return rc;
	t = vp_qemu_target(q);
	rc = t->ops->read(t, SITE, &old, 1, err);
	if (!rc)
		rc = t->ops->lock(t, err);
	if (!rc) {
		rc = t->ops->stop(t, SHORT_MS, err);
		if (!rc) {
			rc = t->ops->swap_head(t, SITE, old, 0xcc, err);
			t->ops->resume(t);
		}
		t->ops->unlock(t);
	}
	closed = vp_qemu_close(q, err);
	return rc ? rc : closed;
}

static void nothing_lasts(struct fixture *f, const struct vp_qemu_config *cfg,
			  enum fake_fault fault)
{
	struct vp_qemu_config quick = *cfg, repair = *cfg;
	unsigned int n = 0, total;
	sigset_t mask;
	int rc;

	quick.timeout_ms = SHORT_MS;
	repair.repair = repaired;
	repair.repair_arg = f;
	f->q->messages = 0;
	assert_int_equal(attempt(&repair, &f->err), 0);
	total = f->q->messages;
	assert_true(total > 8);
	for (n = 1; n <= total; n++) {
		f->q->ram[SITE.v] = 0x90;
		pthread_mutex_lock(&f->q->lock);
		f->q->fault = fault;
		f->q->fault_at = n;
		f->q->messages = 0;
		pthread_mutex_unlock(&f->q->lock);
		f->err.text[0] = 0;
		rc = attempt(&quick, &f->err);
		pthread_sigmask(SIG_BLOCK, NULL, &mask);
		assert_false(sigismember(&mask, SIGINT) || sigismember(&mask, SIGTSTP));
		fake_qemu_heal(f->q);
		if (rc && (!f->err.text[0] || strpbrk(f->err.text, "\r\n\xff")))
			fail_msg("fault %d at %u: %d '%s'", fault, n, rc, f->err.text);
		/* It runs now; or the next one is told, and repair makes it run. */
		usleep(2000);
		rc = attempt(cfg, &f->err);
		if (rc == -EBUSY && strstr(f->err.text, "vmpoke recover"))
			rc = attempt(&repair, &f->err);
		if (rc)
			fail_msg("after fault %d at %u: %d '%s'", fault, n, rc, f->err.text);
		if (!runs(f))
			fail_msg("after fault %d at %u: left stopped", fault, n);
	}
}

static void test_faults_qmp(void **state)
{
	struct fixture *f = *state;

	for (unsigned int fault = FAKE_SILENT; fault < FAKE_FAULTS; fault++)
		nothing_lasts(f, &f->qmp, fault);
}

static void test_faults_gdb(void **state)
{
	struct fixture *f = *state;

	for (unsigned int fault = FAKE_SILENT; fault < FAKE_FAULTS; fault++)
		nothing_lasts(f, &f->gdb, fault);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways),
		TEST(test_many_vcpus),
		TEST(test_no_uuid),
		TEST(test_no_pmemsave),
		TEST(test_long_reads),
		TEST(test_signals_wait),
		TEST(test_refusals),
		TEST(test_paused),
		TEST(test_owners_stub),
		TEST(test_two_at_once),
		TEST(test_killed),
		TEST(test_silent_stub),
		TEST(test_mode_set_back),
		TEST(test_resume_resumes),
		TEST(test_cont_in_window),
		TEST(test_strangers_stub),
		TEST(test_not_our_stop),
		TEST(test_killed_and_replaced),
		TEST(test_killed_and_resumed),
		TEST(test_faults_qmp),
		TEST(test_faults_gdb),
		TEST(test_descriptors),
		TEST(test_confidential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
