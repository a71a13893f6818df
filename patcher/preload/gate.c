/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate between batches and what must not meet one. While it is closed no int3 of ours stands in
 * the guest and no batch begins. What a command has begun ends first: the VMM waits for it as it
 * would for a slow disk.
 */
#include <errno.h>

#include "preload/preload.h"

#define GATE_MS 5000u /* after which it is said that we wait */

void vp_preload_close_gate(struct vp_preload_vm *vm)
{
	int saved = errno;
	struct vp_err err;
	bool told = false;

	pthread_mutex_lock(&vm->engine_lock);
	while (vm->engine && vp_engine_freeze(vm->engine, GATE_MS, &err)) {
		if (!told)
			vp_preload_log("the VMM waits for a batch in flight: %s", err.text);
		told = true;
	}
	errno = saved;
}

void vp_preload_open_gate(struct vp_preload_vm *vm)
{
	int saved = errno;

	if (vm->engine)
		vp_engine_thaw(vm->engine);
	pthread_mutex_unlock(&vm->engine_lock);
	errno = saved;
}

void vp_preload_shut_gate(struct vp_preload_vm *vm)
{
	if (atomic_load(&vm->shut))
		return;
	vp_preload_close_gate(vm);
	atomic_store(&vm->shut, true);
	pthread_mutex_unlock(&vm->engine_lock); /* and whoever has an engine finds it frozen */
}
