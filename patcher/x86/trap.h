/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about a #BP exit: the decision table of docs/protocol.md as a pure function. */
#ifndef VP_X86_TRAP_H
#define VP_X86_TRAP_H

#include <vmpoke/types.h>

enum vp_trap_action {
	VP_TRAP_RULE,	 /* ours: apply the site's resume rule */
	VP_TRAP_RERUN,	 /* run again at the same address: the final instruction stands there */
	VP_TRAP_WAIT,	 /* park until the head is written, whatever the rule */
	VP_TRAP_FOREIGN, /* the guest's own (S6) */
};

struct vp_trap_facts {
	bool in_table; /* a site that the batch in flight has capped, at its address and physical
			  address */
	bool alias;    /* not that, but a site's physical address through another mapping */
	bool undoing;  /* that batch is being rolled back: its new code must not be seen any more */
	bool open;     /* that batch has written every final head */
	bool capping;  /* it is being capped just now: an int3 may be ours or the guest's */
	bool int3;     /* an int3 stands at the address now, with prefixes or without */
};

enum vp_trap_action vp_trap_decide(const struct vp_trap_facts *f);

/* The length of the int3 at the start of @bytes, legacy and REX prefixes included; 0: it is none.
 */
size_t vp_int3_length(const uint8_t *bytes, size_t n);

#endif /* VP_X86_TRAP_H */
