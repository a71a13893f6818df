/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger in a folder of its own, and batches in it. */
#ifndef VP_TESTS_LEDGER_RIG_H
#define VP_TESTS_LEDGER_RIG_H

#include "control/ledger.h"

#define BOOT	  0x1234567890abcdefull
#define PARK	  VP_RESUME_PARK
#define IN_MODULE 0xffffffffc0001000ull

struct ledger_rig {
	char dir[32], path[64];
	struct vp_ledger *ledger;
	char process[VP_PROCESS_TEXT]; /* of the VM that is patched */
};

/* For cmocka: *state is a struct ledger_rig. */
int ledger_rig_setup(void **state);
int ledger_rig_teardown(void **state);

int open_ledger(struct ledger_rig *r, struct vp_err *err);
void reopen(struct ledger_rig *r);

/* A batch of one site at @addr, and two words; @id: of a revert. applied(): its end, too. */
void begin(struct ledger_rig *r, const char *command, uint64_t id, uint64_t boot, uint64_t addr);
void applied(struct ledger_rig *r, const char *command, uint64_t id, uint64_t addr);

/* The VM of r->process. */
struct vp_ledger_vm vm_of(const struct ledger_rig *r, uint64_t boot);

/* The numbers of the batches with this fate, of those that stand, as the digits of one number. */
uint64_t with_fate(struct ledger_rig *r, uint64_t boot, enum vp_fate fate);
uint64_t standing(struct ledger_rig *r, uint64_t boot);

/* Those that have no end, and may be half written in the VM. */
size_t unfinished(struct ledger_rig *r, uint64_t boot, struct vp_ledger_batch **list);
size_t count_unfinished(struct ledger_rig *r, uint64_t boot);

/* The file, past the ledger. file_text(): at most 4 MiB, to be freed. */
void append_text(struct ledger_rig *r, const char *text);
char *file_text(const char *path);

#endif /* VP_TESTS_LEDGER_RIG_H */
