/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands on a Linux guest that is made of bytes, with a ledger. */
#ifndef VP_TESTS_LINUX_CONTROL_H
#define VP_TESTS_LINUX_CONTROL_H

#include "control/control.h"
#include "linux_hotfix.h"

struct linux_control {
	struct linux_guest *g; /* 6.1, with modules */
	struct vp_engine *engine;
	struct vp_control *control;
	const char *keyring;		      /* of what is opened next; NULL: none */
	char dir[32], path[64], baseline[64]; /* path: the ledger's */
	bool lives;			      /* the engine does, as in a VMM */
};

/* For cmocka: *state is a struct linux_control. What is in its folder is removed. */
int linux_control_setup(void **state);
int linux_control_teardown(void **state);

/* The commands as another process has them. */
void linux_control_again(struct linux_control *r);

const struct vp_qmp_command *linux_control_command(const char *name);

/* Run a command, whose @args are stolen: its code must be @want. What it returns; its text. */
json_t *linux_control_call(struct linux_control *r, const char *name, json_t *args, int want,
			   struct vp_err *err);

#endif /* VP_TESTS_LINUX_CONTROL_H */
