/* SPDX-License-Identifier: Apache-2.0 */
/* The user's end of a guest's serial port: what is typed goes to the guest. One thread. */
#ifndef VP_CLI_TERMINAL_H
#define VP_CLI_TERMINAL_H

#include <termios.h>

#include "vmm/vm.h"

#define VP_TERMINAL_HELP "Ctrl-A x ends the guest, Ctrl-A Ctrl-A sends one Ctrl-A"

struct vp_terminal {
	int fd; /* -1: no more input */
	bool raw, command;
	struct termios saved;
	uint8_t waiting[512]; /* read, and not yet taken by the guest */
	size_t nwaiting;
};

/*
 * Take input from @fd (borrowed; -1: there is none). A terminal is put into raw mode, so that every
 * key reaches the guest; one that another job of its shell has is left alone.
 */
void vp_terminal_open(struct vp_terminal *t, int fd);

/* Put the terminal back. Idempotent. */
void vp_terminal_close(struct vp_terminal *t);

/* The descriptor to poll for input, or -1. */
int vp_terminal_poll_fd(const struct vp_terminal *t);

/* Read what is there (@readable) and pass on what the guest takes. False: the user ends the guest.
 */
bool vp_terminal_pump(struct vp_terminal *t, struct vp_vm *vm, bool readable);

#endif /* VP_CLI_TERMINAL_H */
