/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cmd.h"

static int wait_for(const struct vp_detach *d, int fd)
{
	char word;
	ssize_t n;
	int status;

	do
		n = read(fd, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return VP_EXIT_OK;
	while (waitpid(d->child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : VP_EXIT_HOST;
}

int vp_detach_begin(struct vp_detach *d, const char *cmd)
{
	int ends[2], code, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || pipe2(ends, O_CLOEXEC))
		return vp_cmd_fail(cmd, VP_EXIT_HOST, "cannot detach: %s", strerror(errno));
	fflush(stdout);
	d->child = fork();
	if (d->child < 0)
		return vp_cmd_fail(cmd, VP_EXIT_HOST, "fork: %s", strerror(errno));
	if (!d->child) {
		setsid();
		dup2(null, STDIN_FILENO);
		close(null);
		close(ends[0]);
		d->fd = ends[1];
		return -1;
	}
	close(null);
	close(ends[1]);
	code = wait_for(d, ends[0]);
	close(ends[0]);
	return code;
}

void vp_detach_tell(struct vp_detach *d, int output_fd)
{
	if (d->fd < 0)
		return;
	dup2(output_fd, STDOUT_FILENO);
	dup2(output_fd, STDERR_FILENO);
	(void)!write(d->fd, "", 1); /* if nobody waits any more it goes on all the same */
	close(d->fd);
	d->fd = -1;
}
