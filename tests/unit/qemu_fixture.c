/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int qemu_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->q = fake_qemu_new();
	strcpy(f->state_dir, "/tmp/vmpoke-state-XXXXXX");
	assert_non_null(mkdtemp(f->state_dir));
	f->qmp = f->gdb = (struct vp_qemu_config){ .keeper = "vmpoke",
						   .state_dir = f->state_dir,
						   .timeout_ms = HANG_MS };
	f->qmp.qmp_path = f->q->qmp_path;
	f->gdb.gdb_path = f->q->gdb_path;
	*state = f;
	return 0;
}

int qemu_teardown(void **state)
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

bool runs(struct fixture *f)
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

struct vp_qemu *open_well(struct fixture *f, const struct vp_qemu_config *cfg)
{
	struct vp_qemu *q = NULL;

	if (vp_qemu_open(cfg, &q, &f->err))
		fail_msg("%s", f->err.text);
	return q;
}

void use(struct fixture *f, struct vp_qemu *q)
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

void set_version(struct fixture *f, int major, int minor)
{
	pthread_mutex_lock(&f->q->lock);
	f->q->major = major;
	f->q->minor = minor;
	pthread_mutex_unlock(&f->q->lock);
}

void refused(struct fixture *f, const struct vp_qemu_config *cfg, int code, const char *part)
{
	struct vp_qemu *q = NULL;

	assert_int_equal(vp_qemu_open(cfg, &q, &f->err), code);
	if (!strstr(f->err.text, part))
		fail_msg("'%s' lacks '%s'", f->err.text, part);
}

void not_stopped(struct fixture *f, int code, const char *part)
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

pid_t other_vm(char *qmp, char *gdb, size_t size, int *end)
{
	int there[2], back[2];
	pid_t pid;

	assert_int_equal(pipe(there) | pipe(back), 0);
	pid = fork();
	if (!pid) {
		struct fake_qemu *q = fake_qemu_new();
		char c;

		close(there[1]);
		q->direct = true;
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

void end_other_vm(pid_t pid, int end)
{
	close(end);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int repaired(void *arg, struct vp_target *t, const char *identity, const char *process,
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

int not_repaired(void *arg, struct vp_target *t, const char *identity, const char *process,
		 struct vp_err *err)
{
	(void)arg, (void)t, (void)identity, (void)process;
	return vp_err_set(err, -ESTALE, "the ledger is lost");
}

void looked_at(struct fixture *f)
{
	unsigned int stops = f->q->stops, resumes = f->q->resumes;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);
	struct vp_qemu_info info;
	struct vp_vcpu_state s;
	uint8_t now;

	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_non_null(strstr(info.interrupted, "vmpoke recover"));
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->hold(t, -1, &s, &f->err), 0);
	t->ops->release(t);
	assert_int_equal(t->ops->read(t, SITE, &now, 1, &f->err), 0);
	assert_int_equal(now, f->q->ram[SITE.v]);
	assert_int_equal(t->ops->writable(t, &f->err), -EUCLEAN);
	assert_non_null(strstr(f->err.text, "vmpoke recover"));
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), -EUCLEAN);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	f->q->no_pmemsave = true; /* then to read is to stop */
	q = open_well(f, &f->qmp);
	t = vp_qemu_target(q);
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->hold(t, -1, &s, &f->err), 0);
	assert_int_equal(t->ops->read(t, SITE, &now, 1, &f->err), -EUCLEAN);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	f->q->no_pmemsave = false;
	assert_int_equal(f->q->stops, stops);
	assert_int_equal(f->q->resumes, resumes);
}

void be_killed(const struct vp_qemu_config *cfg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct vp_err why = { 0 };
		struct vp_qemu *q;
		struct vp_target *t;
		uint8_t old;

		if (!vp_qemu_open(cfg, &q, &why)) {
			t = vp_qemu_target(q);
			if (!t->ops->lock(t, &why) && !t->ops->stop(t, HANG_MS, &why) &&
			    !t->ops->read(t, SITE, &old, 1, &why) &&
			    !t->ops->swap_head(t, SITE, old, 0xcc, &why))
				kill(getpid(), SIGKILL);
		}
		fprintf(stderr, "# not killed: %s\n", why.text);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
