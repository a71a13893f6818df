/* SPDX-License-Identifier: Apache-2.0 */
/* How a vCPU and the VM end: from any thread, a port's or a vCPU's own among them. */
#include "vmm/internal.h"
#include <stdio.h>
#include <unistd.h>

#define FLUSH_MS 500u

void vp_vcpu_stop(struct vp_vcpu *c)
{
	atomic_store(&c->stop, true);
	vp_local_vcpu_interrupt(c->vm->local, c->id); /* who is not there looks at `stop` first */
	pthread_cond_broadcast(&c->vm->changed);
}

void vp_vm_end_locked(struct vp_vm *vm, enum vp_vm_end end, unsigned int code, const char *text)
{
	const uint64_t one = 1;
	unsigned int i;

	if (vm->status.end != VP_VM_RUNNING)
		return;
	vm->status.end = end;
	vm->status.code = code;
	snprintf(vm->status.text, sizeof(vm->status.text), "%s", text);
	for (i = 0; i < VP_VCPU_MAX; i++)
		if (vm->vcpus[i].state != VP_VCPU_FREE)
			vp_vcpu_stop(&vm->vcpus[i]);
	pthread_cond_broadcast(&vm->changed);
	/* Cannot fail: this is the only write. */
	if (write(vm->end_fd, &one, sizeof(one)) < 0)
		vm->status.code = code;
}

void vp_vm_end(struct vp_vm *vm, enum vp_vm_end end, unsigned int code, const char *text)
{
	/* What the guest printed before its end is seen before its end is reported. */
	if (vm->serial)
		vp_serial_flush(vm->serial, FLUSH_MS);
	pthread_mutex_lock(&vm->lock);
	vp_vm_end_locked(vm, end, code, text);
	pthread_mutex_unlock(&vm->lock);
}
