/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate between batches and what must not meet one. While it is closed no int3 of ours stands in
 * the guest and no batch begins. What a command has begun ends first: the VMM waits for it as it
 * would for a slow disk.
 */
#include <errno.h>
#include <time.h>

#include "preload/preload.h"
#include "target/local_internal.h"

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

void vp_preload_leave_closed(struct vp_preload_vm *vm, int fd)
{
	atomic_store(&vm->protector, fd + 1);
	pthread_mutex_unlock(
		&vm->engine_lock); /* who has an engine finds it frozen; no new one is made */
}

void vp_preload_open_again(struct vp_preload_vm *vm)
{
	pthread_mutex_lock(&vm->engine_lock);
	atomic_store(&vm->protector, 0);
	vp_preload_open_gate(vm);
}

void vp_preload_shut_gate(struct vp_preload_vm *vm)
{
	if (atomic_load(&vm->shut))
		return;
	vp_preload_close_gate(vm);
	atomic_store(&vm->shut, true);
	pthread_mutex_unlock(&vm->engine_lock); /* and whoever has an engine finds it frozen */
}

/* --- who is in the guest -------------------------------------------------------------- */

#define LOOK_US 100

static bool is_plain(struct vp_preload_vcpu *c)
{
	return c && c->local && atomic_load(&c->inside) == VP_PRELOAD_PLAIN;
}

int vp_preload_activate(struct vp_preload_vm *vm, struct vp_err *err)
{
	const struct timespec nap = { .tv_nsec = LOOK_US * 1000 };
	int64_t end = vp_now_ms() + VP_TIMEOUT_MS;
	int rc = 0;

	atomic_store(&vm->active, true);
	pthread_mutex_lock(&vm->lock);
	for (unsigned int id = 0; id < VP_VCPU_MAX; id++)
		if (is_plain(vm->vcpus[id]))
			vp_local_kick(vm->vcpus[id]->local);
	for (unsigned int id = 0; id < VP_VCPU_MAX && !rc; id++)
		while (is_plain(vm->vcpus[id]) && !rc) {
			if (vp_now_ms() > end)
				rc = vp_err_set(err, -ETIMEDOUT, "vCPU %u does not leave the guest",
						id);
			pthread_mutex_unlock(&vm->lock); /* it may want to leave */
			nanosleep(&nap, NULL);
			pthread_mutex_lock(&vm->lock);
		}
	pthread_mutex_unlock(&vm->lock);
	return rc;
}
