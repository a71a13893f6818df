/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded into a vmpoke: kills it (SIGKILL) at one of the steps that the world can see,
 * which are what it sends to QEMU and what it writes into files.
 *
 *	KILLER_AT=N	before the Nth step (from 1), or behind it if KILLER_BEHIND is not empty; 0:
 *never; M: the first that writes the guest's memory KILLER_HALF=1	when half of the packets of
 *that step are sent KILLER_COUNT=FILE	gets one line for each step: what it was
 *
 * Looks at memory (pmemsave of the monitor, m of the gdbstub), which are many, are no steps.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *what, const void *bytes, size_t len)
{
	const char *path = getenv("KILLER_COUNT");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
	char line[96];
	size_t n = 0;

	if (fd < 0)
		return;
	n = (size_t)snprintf(line, sizeof(line), "%s ", what);
	for (size_t i = 0; i < len && n < sizeof(line) - 1; i++) {
		char c = ((const char *)bytes)[i];

		line[n++] = c >= ' ' && c < 127 ? c : '.';
	}
	line[n++] = '\n';
	syscall(SYS_write, fd, line, n);
	close(fd);
}

static int is_look(const char *bytes, size_t len)
{
	if (len && *bytes == '+')
		bytes++, len--;
	return memmem(bytes, len, "pmemsave", 8) || (len > 1 && bytes[0] == '$' && bytes[1] == 'm');
}

/* True: this is the step, and it is to be made before the end. */
static int step(const char *what, const void *bytes, size_t len)
{
	static long n;
	const char *at = getenv("KILLER_AT"), *behind = getenv("KILLER_BEHIND");
	const char *half = getenv("KILLER_HALF");

	if (is_look(bytes, len))
		return 0;
	note(what, bytes, len);
	n++;
	if (at && *at == 'M' ? !memmem(bytes, len, "$M", 2) : n != (at ? atol(at) : 0))
		return 0;
	if ((behind && *behind) || (half && *half))
		return 1;
	kill(getpid(), SIGKILL);
	return 0;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* Of a burst of packets the first half. */
static size_t cut(const char *bytes, size_t len)
{
	const char *half = getenv("KILLER_HALF");
	size_t n = half && *half ? len / 2 : 0;

	while (n && bytes[n] != '$')
		n--;
	return n ? n : len;
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = next("send");
	int last = step("send", buf, len);
	ssize_t n = real(fd, buf, last ? cut(buf, len) : len, flags);

	if (last)
		kill(getpid(), SIGKILL);
	return n;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = next("sendmsg");
	int last = step("sendmsg", msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len);
	ssize_t n = real(fd, msg, flags);

	if (last)
		kill(getpid(), SIGKILL);
	return n;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	ssize_t (*real)(int, const void *, size_t) = next("write");
	int last = step("write", buf, len);
	ssize_t n = real(fd, buf, len);

	if (last)
		kill(getpid(), SIGKILL);
	return n;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t) = next("pwrite");
	int last = step("pwrite", buf, len);
	ssize_t n = real(fd, buf, len, at);

	if (last)
		kill(getpid(), SIGKILL);
	return n;
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at)
{
	return pwrite(fd, buf, len, at);
}
