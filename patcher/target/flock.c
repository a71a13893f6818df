/* SPDX-License-Identifier: Apache-2.0 */
#include "target/flock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/tell.h"
#include "target/process.h"
#include "target/wait.h"

#define LOOK_MS 10

/* proc_locks(5): "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF"; who waits has "->". */
static int find_holder(int fd)
{
	struct stat st;
	char line[256];
	int holder = 0;
	FILE *f = fstat(fd, &st) ? NULL : fopen("/proc/locks", "re");

	while (f && !holder && fgets(line, sizeof(line), f)) {
		unsigned int maj, min;
		unsigned long inode;
		int pid;

		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &maj, &min, &inode) ==
			    4 &&
		    inode == st.st_ino && maj == major(st.st_dev) && min == minor(st.st_dev))
			holder = pid;
	}
	if (f)
		fclose(f);
	return holder;
}

void vp_flock_holder(int fd, char *text, size_t size)
{
	int pid = find_holder(fd);

	if (pid <= 0 || !vp_process_describe(pid, text, size))
		snprintf(text, size, "another process");
}

int vp_flock(int fd, unsigned int timeout_ms)
{
	int64_t begin = vp_now_ms(), waited = 0;
	char holder[160] = "", what[200];

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		int rc = -errno;

		if ((rc != -EINTR && rc != -EWOULDBLOCK) || waited >= timeout_ms)
			return rc == -EINTR ? -EWOULDBLOCK : rc;
		if (!*holder)
			vp_flock_holder(fd, holder, sizeof(holder));
		snprintf(what, sizeof(what), "waiting for %s", holder);
		vp_tell_progress(what, (uint64_t)waited, timeout_ms);
		poll(NULL, 0, LOOK_MS);
		waited = vp_now_ms() - begin;
	}
	if (*holder)
		vp_tell_progress(what, timeout_ms, timeout_ms);
	return 0;
}
