/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test guest whose workers run at CPL 3, for tests/cores: on hosts that emulate kernel mode,
 * CPL 3 is what runs natively. Built with TG_USER=1; docs/cores.md.
 */
#ifndef VP_GUEST_USER_H
#define VP_GUEST_USER_H

#ifndef TG_USER
#define TG_USER 0
#endif

/*
 * Requests to the VMM of tests/cores, by `out`. RSP points to a frame as the CPU pushes it.
 * BP: a #BP was delivered, and nothing but RSP has changed since; two words lie below the frame.
 * IRET: return through the frame. The KVM that emulates kernel mode has no iretq.
 */
#define TG_PORT_BP	0xf8
#define TG_PORT_IRET	0xf9
#define TG_BP_FRAME_OFF 16

#ifndef __ASSEMBLER__
#include <stdint.h>
#include <vmpoke/guest.h>

/* The stack of worker @id is empty at this address. */
uint64_t tg_user_stack(uint64_t id);

/* Make this vCPU ready for CPL 3, then call the function at @worker there, with @arg. */
_Noreturn void tg_user_enter(uint64_t id, volatile const struct vp_boot_info *info, uint64_t worker,
			     uint64_t arg);
#endif

#endif /* VP_GUEST_USER_H */
