/* SPDX-License-Identifier: Apache-2.0 */
#include "target/vmlock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct vp_vmlock {
	int fd;
	unsigned int depth;
	bool marked; /* by us */
};

static int open_folder(const char *dir, struct vp_err *err)
{
	struct stat st;
	int fd;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return vp_err_set(err, -errno, "state folder %.120s: %s", dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		int rc = vp_err_set(err, -errno, "state folder %.120s: %s", dir, strerror(errno));

		if (fd >= 0)
			close(fd);
		return rc;
	}
	/* Who may write there may forge marks, or hide them. */
	if (st.st_uid == geteuid() && !(st.st_mode & 022))
		return fd;
	close(fd);
	return vp_err_set(err, -EACCES,
			  "state folder %.120s is not ours alone: it must belong to uid %u and "
			  "nobody else may write to it",
			  dir, (unsigned int)geteuid());
}

int vp_vmlock_open(const char *dir, const char *key, struct vp_vmlock **out, struct vp_err *err)
{
	struct vp_vmlock *l = calloc(1, sizeof(*l));
	int folder = l ? open_folder(dir, err) : vp_err_set(err, -ENOMEM, "out of memory");
	char name[96];
	int rc = 0;

	if (folder < 0) {
		free(l);
		return folder;
	}
	snprintf(name, sizeof(name), "%s.lock", key);
	l->fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd < 0)
		rc = vp_err_set(err, -errno, "%.120s/%s: %s", dir, name, strerror(errno));
	close(folder);
	if (rc)
		free(l);
	else
		*out = l;
	return rc;
}

void vp_vmlock_close(struct vp_vmlock *l)
{
	if (!l)
		return;
	close(l->fd); /* drops the lock; a mark stays */
	free(l);
}

int vp_vmlock_take(struct vp_vmlock *l, unsigned int timeout_ms, struct vp_err *err)
{
	struct timespec t;
	int64_t deadline;

	if (l->depth++)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	deadline = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + timeout_ms;
	while (flock(l->fd, LOCK_EX | LOCK_NB)) {
		int why = errno;

		clock_gettime(CLOCK_MONOTONIC, &t);
		if (why == EINTR || (why == EWOULDBLOCK &&
				     (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 < deadline)) {
			poll(NULL, 0, 10);
			continue;
		}
		l->depth = 0;
		if (why == EWOULDBLOCK)
			return vp_err_set(err, -ETIMEDOUT,
					  "another vmpoke works on this VM: wait until it is done");
		return vp_err_set(err, -why, "the VM's lock file: %s", strerror(why));
	}
	return 0;
}

void vp_vmlock_drop(struct vp_vmlock *l)
{
	if (!--l->depth)
		flock(l->fd, LOCK_UN);
}

int vp_vmlock_mark(struct vp_vmlock *l, struct vp_err *err)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (pwrite(l->fd, text, (size_t)n, 0) != n)
		return vp_err_set(err, -EIO, "the VM's lock file cannot be written: nothing done");
	l->marked = true;
	return 0;
}

void vp_vmlock_unmark(struct vp_vmlock *l)
{
	/* Shrinking to nothing needs no space; it fails on a broken file system only. */
	if (l->marked && !ftruncate(l->fd, 0))
		l->marked = false;
}

int vp_vmlock_interrupted(struct vp_vmlock *l)
{
	char text[32] = "";
	ssize_t n = pread(l->fd, text, sizeof(text) - 1, 0);
	int pid;

	if (n <= 0 || l->marked)
		return 0;
	pid = atoi(text);
	return pid > 0 ? pid : -1;
}
