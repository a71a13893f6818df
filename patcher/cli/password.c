/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/password.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cmd.h"

#define KEY_CTRL(c) ((c)&0x1f)

/* The next key; 0: there will be none. */
static char next_key(int tty)
{
	char c = '\0';
	ssize_t n;

	do
		n = read(tty, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		c = '\0';
	return c;
}

/* Up to the end of the line. False: given up, or too long. Ctrl-C comes as a key (see open_tty). */
static bool read_line(int tty, char out[VP_PASSWORD_MAX])
{
	size_t n = 0;

	for (;;) {
		char c = next_key(tty);

		if (c == '\n' || c == '\r') {
			out[n] = '\0';
			return true;
		}
		if (!c || c == KEY_CTRL('c') || c == KEY_CTRL('d'))
			return false;
		if (c == 0x7f || c == '\b')
			n -= n > 0;
		else if (c == KEY_CTRL('u'))
			n = 0;
		else if (n + 1 == VP_PASSWORD_MAX)
			return false;
		else
			out[n++] = c;
	}
}

/* Without echo and lines; no key makes a signal, which would leave the terminal so. */
static int open_tty(struct termios *saved)
{
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios quiet;

	if (tty < 0)
		return -1;
	if (tcgetattr(tty, saved)) {
		close(tty);
		return -1;
	}
	quiet = *saved;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
	quiet.c_cc[VMIN] = 1;
	quiet.c_cc[VTIME] = 0;
	if (!tcsetattr(tty, TCSAFLUSH, &quiet))
		return tty;
	close(tty);
	return -1;
}

int vp_password_ask(const char *me, const char *prompt, char out[VP_PASSWORD_MAX])
{
	struct termios saved;
	int tty = open_tty(&saved);
	bool done;

	out[0] = '\0';
	if (tty < 0)
		return vp_cmd_fail(me, VP_EXIT_USAGE,
				   "a password is asked for on the terminal, and there is none");
	dprintf(tty, "%s: ", prompt);
	done = read_line(tty, out);
	tcsetattr(tty, TCSAFLUSH, &saved);
	dprintf(tty, "\n");
	close(tty);
	if (!done || !*out)
		return vp_cmd_fail(me, VP_EXIT_USAGE, "no password was typed");
	return VP_EXIT_OK;
}
