/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about a #BP exit: the decision table of docs/protocol.md as a pure function. */
#ifndef VP_X86_TRAP_H
#define VP_X86_TRAP_H

#include <vmpoke/types.h>

enum vp_trap_action {
	VP_TRAP_RULE,  /* ours: apply the site's resume rule */
	VP_TRAP_RERUN, /* run again at the same address: late (S5), or the batch is being undone */
	VP_TRAP_WAIT,  /* park until the head is written, whatever the rule */
	VP_TRAP_FOREIGN, /* the guest's own (S6) */
};

struct vp_trap_facts {
	bool in_table; /* the address is a site of the batch in flight, and translates to its gpa */
	bool undoing;  /* that batch is being rolled back: its new code must not be seen any more */
	uint8_t byte;  /* what stands at the address now */
};

enum vp_trap_action vp_trap_decide(const struct vp_trap_facts *f);

#endif /* VP_X86_TRAP_H */
