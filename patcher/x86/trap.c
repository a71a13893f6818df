/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/trap.h"

enum vp_trap_action vp_trap_decide(const struct vp_trap_facts *f)
{
	bool capped = f->byte == VP_INT3;

	/* Ours whatever the byte: the head may have been written since the trap. */
	if (f->in_table && !f->undoing)
		return VP_TRAP_RULE;
	/* A rule would show the new code, which is being taken back: only the old head will do. */
	if (f->in_table)
		return capped ? VP_TRAP_WAIT : VP_TRAP_RERUN;
	/* Late (S5): its record is gone, and with it the int3. An int3 that stands is foreign (S6).
	 */
	return capped ? VP_TRAP_FOREIGN : VP_TRAP_RERUN;
}
