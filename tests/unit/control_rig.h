/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control commands on the scripted target, with a ledger: what one process begins, another
 * ends. A vmpoke can die in the middle of a batch.
 */
#ifndef VP_TESTS_CONTROL_RIG_H
#define VP_TESTS_CONTROL_RIG_H

#include "control/control.h"
#include "control/ledger.h"
#include "fake.h"

struct rig {
	struct world *w;
	struct vp_symtab *symbols;
	struct vp_control *control;
	char dir[32], path[64];
	uint64_t boot;
	char process[VP_PROCESS_TEXT]; /* of the VM */
};

/* For cmocka: *state is a struct rig. */
int control_rig_setup(void **state);
int control_rig_teardown(void **state);

/* The commands as another process has them: it knows nothing but the ledger. */
void open_control(struct rig *r);
void another_process(struct rig *r);

/* Run a command with arguments as JSON text; what it returns, and the error's text. */
json_t *call(struct rig *r, const char *name, const char *args, int *code, struct vp_err *err);
void succeeds(struct rig *r, const char *name, const char *args);
void fails(struct rig *r, const char *name, const char *args, int want, const char *why);

#define POKE(where)                                                                 \
	"{\"sites\": [{\"addr\": \"" where "\", \"old\": \"0f1f440000\", \"new\": " \
	"\"e910000000\"}]}"

/* One member of a batch of query-pokes, or of its first site, as text. */
void expect_poke_at(struct rig *r, size_t at, const char *key, const char *value);

/* There are that many, and so it is with the newest. */
void expect_poke(struct rig *r, size_t batches, const char *key, const char *value);

/* Poke place_a and place_b together, and die before the end is written down. Both stand. */
void poke_and_die(struct rig *r);

/* @what NULL: nothing special. */
struct vp_recovered recover(struct rig *r, const struct vp_recover *what, int want);

#endif /* VP_TESTS_CONTROL_RIG_H */
