/* SPDX-License-Identifier: Apache-2.0 */
#include "build/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAID_MAX (1u << 20)
#define GRACE_MS 1000 /* from SIGTERM to SIGKILL */

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

bool vp_run_finds(const char *name)
{
	const char *dir = getenv("PATH"), *end;
	char full[4096];

	if (strchr(name, '/'))
		return is_program(name);
	for (; dir && *name; dir = *end ? end + 1 : NULL) {
		end = strchrnul(dir, ':');
		if (snprintf(full, sizeof(full), "%.*s/%s", (int)(end - dir), dir, name) <
			    (int)sizeof(full) &&
		    is_program(full))
			return true;
	}
	return false;
}

/* In the child: become the program. @out: its stdout and stderr. */
static void become(const struct vp_run *run, int out)
{
	char path[4096], home[4096], tmpdir[4096];
	char *env[] = { "LC_ALL=C", path, home, tmpdir, NULL };
	const char *p = getenv("PATH"), *h = getenv("HOME");
	sigset_t none;
	int null;

	/* make, kbuild and gcc listen to many variables; of ours they get these. */
	snprintf(path, sizeof(path), "PATH=%s", p ? p : "/usr/bin:/bin");
	snprintf(home, sizeof(home), "HOME=%s", h ? h : "/");
	snprintf(tmpdir, sizeof(tmpdir), "TMPDIR=%s", run->tmpdir);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDONLY);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2)
		execvpe(run->argv[0], run->argv, env);
	_exit(127);
}

struct listener {
	char *said;
	size_t used;
	int fd;
};

/* Take what can be read; 0: no more will come. What is over the limit is dropped. */
static bool listen_once(struct listener *l)
{
	char over[4096];
	size_t room = SAID_MAX - l->used;
	ssize_t n = room ? read(l->fd, l->said + l->used, room) : read(l->fd, over, sizeof(over));

	if (n > 0 && room)
		l->used += (size_t)n;
	return n > 0 || (n < 0 && errno == EINTR);
}

/* 1: its output ended; 0: @ms are over; -ECANCELED. */
static int listen_on(struct listener *l, int stop_fd, int ms)
{
	struct pollfd fds[2] = {
		{ .fd = l->fd, .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};

	for (;;) {
		int n = poll(fds, 2, ms);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n;
		if (fds[1].revents)
			return -ECANCELED;
		if (!listen_once(l))
			return 1;
	}
}

/* End all of the group @pid. It is not reaped yet, so the number is still its own. */
static void end_group(struct listener *l, pid_t pid)
{
	kill(-pid, SIGTERM);
	if (listen_on(l, -1, GRACE_MS) == 1)
		return;
	kill(-pid, SIGKILL);
	listen_on(l, -1, GRACE_MS);
}

static int attend(struct listener *l, pid_t pid, const struct vp_run *run, int *status,
		  struct vp_err *err)
{
	int rc = listen_on(l, run->stop_fd, -1), st = 0;

	if (rc != 1)
		end_group(l, pid);
	while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	*status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
	if (rc == 1)
		return 0;
	return vp_err_set(err, rc == -ECANCELED ? rc : -EIO, "%s",
			  rc == -ECANCELED ? "interrupted" : "poll failed");
}

int vp_run(const struct vp_run *run, char **said, int *status, struct vp_err *err)
{
	struct listener l = { .said = malloc(SAID_MAX + 1) };
	int pipe_fds[2], rc;
	pid_t pid;

	*said = NULL;
	if (!l.said)
		return vp_err_set(err, -ENOMEM, "out of memory");
	if (pipe2(pipe_fds, O_CLOEXEC)) {
		free(l.said);
		return vp_err_set(err, -errno, "no pipe: %s", strerror(errno));
	}
	pid = fork();
	if (!pid)
		become(run, pipe_fds[1]);
	rc = pid < 0 ? -errno : 0;
	close(pipe_fds[1]);
	l.fd = pipe_fds[0];
	if (rc) {
		vp_err_set(err, rc, "%s cannot be started: %s", run->argv[0], strerror(-rc));
	} else {
		setpgid(pid,
			pid); /* before anybody signals the group: the child may not have yet */
		rc = attend(&l, pid, run, status, err);
	}
	close(pipe_fds[0]);
	l.said[l.used] = '\0';
	if (rc)
		free(l.said);
	else
		*said = l.said;
	return rc;
}
