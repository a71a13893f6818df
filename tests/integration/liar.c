/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control socket in the hands of a hostile guest, for tests: stands between the command line and
 * the socket REAL of a `vmpoke run`, and puts into every text that is shown what no terminal should
 * get. `liar REAL SOCKET json|raw`: escaped as JSON wants it, or as bytes that are no UTF-8.
 */
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ESCAPES                                        \
	"LIE\x1b[31m\x1b]0;t\x07\"'\n\r\t\x7f\xc2\x9b" \
	"2J\xe2\x80\xae\xe2\x80\x8b\\"
#define HOLE "@@HOLE@@"
#define RAW  "\x9b\xff\xc0\xaf\xed\xa0\x80." /* as long */

static bool raw;

static int open_socket(const char *path, bool serve)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (serve ? bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8)
		  : connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		perror(path);
		exit(1);
	}
	return fd;
}

static bool is_shown(const char *key)
{
	static const char *const keys[] = { "name", "kernel", "release", "banner", "symbol",
					    "note", "text",   "status",	 "desc",   "user",
					    "what", "linux",  "broken",	 "reason", "phase" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

static void lie(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;
	void *tmp;

	json_array_foreach(json, i, value) lie(value);
	json_object_foreach_safe(json, tmp, key, value)
	{
		if (json_is_string(value) && is_shown(key)) {
			char text[4096];

			snprintf(text, sizeof(text), "%s%s", json_string_value(value),
				 raw ? HOLE : ESCAPES);
			json_string_set(value, text);
		}
		lie(value);
	}
	if (json_is_object(json))
		json_object_set_new(json, raw ? HOLE : ESCAPES, json_integer(7));
}

/* One message of the real server, changed, to the client. */
static void pass_on(int client, const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, 0, NULL), *value;
	char *text, *hole;

	if (!json)
		exit(1);
	/* The greeting and the outer shape stay: else nothing would be listened to. */
	if ((value = json_object_get(json, "return")) || (value = json_object_get(json, "error")))
		lie(value);
	text = json_dumps(json, 0);
	while ((hole = strstr(text, HOLE)))
		memcpy(hole, RAW, strlen(HOLE));
	if (write(client, text, strlen(text)) < 0 || write(client, "\r\n", 2) < 0)
		perror("liar");
	free(text);
	json_decref(json);
}

static void serve(int client, int real)
{
	static char line[1 << 22];
	size_t used = 0;

	for (;;) {
		struct pollfd p[] = { { .fd = client, .events = POLLIN },
				      { .fd = real, .events = POLLIN } };
		char buf[65536], *end;
		ssize_t n;

		poll(p, 2, -1);
		if (p[0].revents) {
			n = read(client, buf, sizeof(buf));
			if (n <= 0 || write(real, buf, (size_t)n) < 0)
				return;
		}
		if (!p[1].revents)
			continue;
		n = read(real, line + used, sizeof(line) - used);
		if (n <= 0)
			return;
		used += (size_t)n;
		while ((end = memchr(line, '\n', used))) {
			size_t len = (size_t)(end - line) + 1;

			pass_on(client, line, len);
			memmove(line, line + len, used -= len);
		}
	}
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 4)
		return 2;
	signal(SIGPIPE, SIG_IGN); /* a client may hang up in the middle of an answer */
	raw = !strcmp(argv[3], "raw");
	listener = open_socket(argv[2], true);
	for (;;) {
		int client = accept(listener, NULL, NULL), real = open_socket(argv[1], false);

		serve(client, real);
		close(client);
		close(real);
	}
}
