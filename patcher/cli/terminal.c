/* SPDX-License-Identifier: Apache-2.0 */
/* The user's end of a guest's serial port. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/terminal.h"

#define CTRL_A 0x01

void vp_terminal_open(struct vp_terminal *t, int fd)
{
	struct termios raw;

	*t = (struct vp_terminal){ .fd = fd };
	if (fd < 0 || !isatty(fd))
		return;
	/* In the background reading would stop us (SIGTTIN). */
	if (tcgetpgrp(fd) != getpgrp() || tcgetattr(fd, &t->saved)) {
		t->fd = -1;
		return;
	}
	raw = t->saved;
	cfmakeraw(&raw);
	t->raw = !tcsetattr(fd, TCSADRAIN, &raw);
}

void vp_terminal_close(struct vp_terminal *t)
{
	if (t->raw)
		tcsetattr(t->fd, TCSADRAIN, &t->saved);
	t->raw = false;
	t->fd = -1;
}

int vp_terminal_poll_fd(const struct vp_terminal *t)
{
	return t->nwaiting ? -1 : t->fd;
}

/* Take the commands out of what was typed. False: the user ends the guest. */
static bool take_commands(struct vp_terminal *t)
{
	size_t from, to = 0;

	for (from = 0; from < t->nwaiting; from++) {
		uint8_t key = t->waiting[from];

		if (!t->command && key == CTRL_A) {
			t->command = true;
			continue;
		}
		if (t->command && (key == 'x' || key == 'X'))
			return false;
		t->command = false;
		t->waiting[to++] = key;
	}
	t->nwaiting = to;
	return true;
}

static bool read_some(struct vp_terminal *t)
{
	ssize_t n = read(t->fd, t->waiting, sizeof(t->waiting));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0) {
		/* Nobody types any more; the guest runs on. */
		vp_terminal_close(t);
		return true;
	}
	t->nwaiting = (size_t)n;
	return t->raw ? take_commands(t) : true;
}

bool vp_terminal_pump(struct vp_terminal *t, struct vp_vm *vm, bool readable)
{
	size_t taken;

	if (readable && !t->nwaiting && t->fd >= 0 && !read_some(t))
		return false;
	taken = vp_vm_input(vm, t->waiting, t->nwaiting);
	t->nwaiting -= taken;
	memmove(t->waiting, t->waiting + taken, t->nwaiting);
	return true;
}
