/* SPDX-License-Identifier: Apache-2.0 */
/* What could not be finished when it was asked for: now and then it is tried again. */
#include "hotfix/call.h"
#include "target/local_internal.h"
#include "vmm/internal.h"

void vp_vm_settle(struct vp_vm *vm, unsigned int timeout_ms)
{
	struct vp_local *l = vp_vm_local(vm);

	vp_engine_settle(vp_vm_engine(vm), timeout_ms, NULL);
	if (vp_local_call_is_left(l) && !vp_local_paused(l))
		vp_call_take_back(vp_local_target(l));
}
