/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw control-socket client for tests: sends standard input, whatever it is, to the socket
 * PATH and prints what comes back until LINES lines have come or the other side hangs up.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char out[1 << 16], in[1 << 16];

static int dial(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, path);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -1 : fd;
}

/* Print what has come. The lines in it, or -1: the other side has hung up. */
static long take(int fd)
{
	ssize_t n = recv(fd, in, sizeof(in), 0);
	long lines = 0;

	if (n <= 0)
		return -1;
	fwrite(in, 1, (size_t)n, stdout);
	fflush(stdout);
	while (n)
		lines += in[--n] == '\n';
	return lines;
}

int main(int argc, char **argv)
{
	long want = argc > 2 ? atol(argv[2]) : 0, lines = 0;
	size_t head = 0, tail = 0;
	int fd = argc > 1 ? dial(argv[1]) : -1;
	int more = 1;

	if (fd < 0) {
		fprintf(stderr, "qmp_rig: cannot connect: %s\n", strerror(errno));
		return 1;
	}
	while (lines < want) {
		struct pollfd p = { .fd = fd };
		long got;

		if (head == tail && more) {
			ssize_t n = read(0, out, sizeof(out));

			head = 0;
			tail = n > 0 ? (size_t)n : 0;
			more = n > 0;
		}
		p.events = (short)(POLLIN | (head < tail ? POLLOUT : 0));
		if (poll(&p, 1, 60000) <= 0)
			return 2;
		if (p.revents & POLLOUT) {
			ssize_t n = send(fd, out + head, tail - head, MSG_NOSIGNAL | MSG_DONTWAIT);

			if (n > 0)
				head += (size_t)n;
			else if (errno != EAGAIN)
				head = tail, more = 0;
		}
		if (p.revents & (POLLIN | POLLHUP)) {
			got = take(fd);
			if (got < 0)
				break;
			lines += got;
		}
	}
	return 0;
}
