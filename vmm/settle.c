/* SPDX-License-Identifier: Apache-2.0 */
/* What could not be finished when it was asked for: now and then it is tried again. */
#include "hotfix/call.h"
#include "target/local_internal.h"
#include "vmm/internal.h"

#include <errno.h>

#define LATE_MS 20u /* if the call has not come back since, it is not waited for */

/*
 * A call of a guest function that was given up: when the task is back its vCPU stands behind the
 * call, and gets the task's registers here. The others run all the while.
 */
static void take_back_call(struct vp_target *t)
{
	struct vp_call_recovered done;
	struct vp_err err;

	if (t->ops->lock(t, &err))
		return;
	if (!t->ops->stop(t, VP_TIMEOUT_MS, &err) &&
	    vp_call_recover(t, LATE_MS, NULL, NULL, &done, &err) != -ETIMEDOUT)
		t->ops->resume(t); /* else the guest runs again already */
	t->ops->unlock(t);
}

void vp_vm_settle(struct vp_vm *vm, unsigned int timeout_ms)
{
	struct vp_local *l = vp_vm_local(vm);

	vp_engine_settle(vp_vm_engine(vm), timeout_ms, NULL);
	if (vp_local_call_is_left(l) && !vp_local_paused(l))
		take_back_call(vp_local_target(l));
}
