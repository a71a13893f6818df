/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/trap.h"

enum vp_trap_action vp_trap_decide(const struct vp_trap_facts *f)
{
	/* Late (S5): its record is gone, and with it the int3. An int3 that stands is foreign (S6).
	 */
	if (!f->in_table && !f->alias)
		return f->int3 ? VP_TRAP_FOREIGN : VP_TRAP_RERUN;
	/* In a moment it is known whose. */
	if (f->capping)
		return VP_TRAP_RERUN;
	/* None of ours stands any more: the guest has put its own on the final instruction. */
	if (f->open && f->int3)
		return VP_TRAP_FOREIGN;
	/* Ours whatever the byte: the head may have been written since the trap. */
	if (f->in_table && !f->undoing)
		return VP_TRAP_RULE;
	/*
	 * A rule would show new code that is being taken back, or is made for another address: only
	 * the final head will do.
	 */
	return f->int3 ? VP_TRAP_WAIT : VP_TRAP_RERUN;
}

static bool is_prefix(uint8_t b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return (b & 0xf0) == 0x40; /* REX */
	}
}

size_t vp_int3_length(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n && i < VP_INSN_MAX; i++) {
		if (bytes[i] == VP_INT3)
			return i + 1;
		if (!is_prefix(bytes[i]))
			break;
	}
	return 0;
}
