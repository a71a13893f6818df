/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs come and go. See internal.h for the locks. */
#include "vmm/kernel.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define FORCE_MS 10000u /* a batch in flight may hold the thread up */

/* Give a number its KVM vCPU, once. */
static int vcpu_create(struct vp_vcpu *c, struct vp_err *err)
{
	struct vp_vm *vm = c->vm;
	void *run;
	int rc;

	if (c->fd >= 0)
		return 0;
	c->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, c->id);
	if (c->fd < 0)
		return vp_err_set(err, -errno, "KVM_CREATE_VCPU %u: %s", c->id, strerror(errno));
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (run == MAP_FAILED) {
		rc = vp_err_set(err, -errno, "vCPU %u: cannot map kvm_run: %s", c->id,
				strerror(errno));
		goto close;
	}
	rc = vp_state_capture(vm->kvm_fd, c->fd, c->id, &vm->cpu, &c->power_on, err);
	if (rc)
		goto unmap;
	c->run = run;
	return 0;
unmap:
	munmap(run, vm->run_size);
close:
	close(c->fd);
	c->fd = -1;
	return rc;
}

static int vcpu_reset(struct vp_vcpu *c, struct vp_err *err)
{
	struct vp_vm *vm = c->vm;
	struct vp_entry entry;

	vp_state_power_on(c->power_on, &entry);
	if (vm->is_linux)
		vp_linux_entry(vm->kernel, c->id, &entry);
	else
		vp_boot_entry(&vm->boot, c->id, vm->image.entry, &entry.sregs, &entry.regs);
	return vp_state_reset(c->fd, c->id, c->power_on, &entry, err);
}

/* Start a free vCPU. vm->adding and vm->lock held. */
static int vcpu_start(struct vp_vcpu *c, struct vp_err *err)
{
	struct vp_vm *vm = c->vm;
	int rc;

	if (vm->status.end != VP_VM_RUNNING)
		return vp_err_set(err, -ESHUTDOWN, "%s has ended", vm->name);
	if (c->joinable) {
		/* It freed the vCPU as its last deed: this does not wait. */
		pthread_join(c->thread, NULL);
		c->joinable = false;
	}
	rc = vcpu_create(c, err);
	if (!rc)
		rc = vcpu_reset(c, err);
	if (!rc)
		rc = vp_vcpu_begin(c, err);
	return rc;
}

int vp_vm_start(struct vp_vm *vm, struct vp_err *err)
{
	unsigned int i, started = 0;
	int rc = 0, one;

	pthread_mutex_lock(&vm->adding);
	pthread_mutex_lock(&vm->lock);
	if (vm->live || vm->status.end != VP_VM_RUNNING)
		rc = vp_err_set(err, -EALREADY, "%s was started before", vm->name);
	while (!rc && started < vm->boot_vcpus) {
		/* The first ones run already: they may have ended the VM, which is no error. */
		if (started && vm->status.end != VP_VM_RUNNING)
			break;
		/* vCPU 0 last: it wakes the others of Linux, which must be there by then. */
		rc = vcpu_start(&vm->vcpus[vm->boot_vcpus - 1 - started], err);
		if (!rc)
			started++;
	}
	for (i = 0; i < started; i++) {
		one = vp_vcpu_await(&vm->vcpus[vm->boot_vcpus - 1 - i], rc ? NULL : err);
		rc = rc ? rc : one;
	}
	pthread_mutex_unlock(&vm->lock);
	pthread_mutex_unlock(&vm->adding);
	if (rc && rc != -EALREADY)
		vp_vm_end(vm, VP_VM_ERROR, 0, "the vCPUs could not be started");
	return rc;
}

/* Linux hears of vCPUs by ACPI alone, and we tell it at boot. */
static int check_hotplug(const struct vp_vm *vm, struct vp_err *err)
{
	if (!vm->is_linux)
		return 0;
	return vp_err_set(err, -EOPNOTSUPP,
			  "%s runs Linux, which keeps the %u vCPUs it was started with: start it "
			  "with other --vcpus",
			  vm->name, vm->boot_vcpus);
}

int vp_vm_vcpu_add(struct vp_vm *vm, unsigned int *id, struct vp_err *err)
{
	struct vp_vcpu *c;
	unsigned int i;
	int rc = check_hotplug(vm, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&vm->adding);
	pthread_mutex_lock(&vm->lock);
	for (i = 0; i < vm->max_vcpus && vm->vcpus[i].state != VP_VCPU_FREE; i++)
		;
	if (i == vm->max_vcpus) {
		rc = vp_err_set(err, -ENOSPC, "%s has %u vCPUs already, the most there may be",
				vm->name, i);
		goto out;
	}
	c = &vm->vcpus[i];
	rc = vcpu_start(c, err);
	if (!rc)
		rc = vp_vcpu_await(c, err);
	if (!rc)
		*id = i;
out:
	pthread_mutex_unlock(&vm->lock);
	pthread_mutex_unlock(&vm->adding);
	return rc;
}

/* Wait until vCPU @c, as started with @generation, is gone. vm->lock held. */
static bool wait_gone(struct vp_vcpu *c, unsigned int generation, unsigned int timeout_ms)
{
	struct timespec end = vp_deadline(timeout_ms);

	while (c->state != VP_VCPU_FREE && c->generation == generation)
		if (pthread_cond_timedwait(&c->vm->changed, &c->vm->lock, &end))
			break;
	return c->state == VP_VCPU_FREE || c->generation != generation;
}

static unsigned int staying(const struct vp_vm *vm)
{
	unsigned int i, n = 0;

	for (i = 0; i < VP_VCPU_MAX; i++)
		n += vm->vcpus[i].state != VP_VCPU_FREE && !vm->vcpus[i].removing;
	return n;
}

static int remove_locked(struct vp_vm *vm, struct vp_vcpu *c, unsigned int timeout_ms, bool force,
			 struct vp_err *err)
{
	struct vp_boot_info *info = vp_boot_info(&vm->ram);
	unsigned int generation = c->generation;

	if (vm->status.end != VP_VM_RUNNING)
		return vp_err_set(err, -ESHUTDOWN, "%s has ended", vm->name);
	if (c->state != VP_VCPU_RUNNING)
		return vp_err_set(err, -ENOENT, "%s has no vCPU %u", vm->name, c->id);
	if (c->removing)
		return vp_err_set(err, -EBUSY, "vCPU %u is being removed already", c->id);
	if (staying(vm) < 2)
		return vp_err_set(err, -EBUSY, "vCPU %u is the last one: end the VM instead",
				  c->id);
	c->removing = true;
	__atomic_store_n(&info->give_up[c->id], 1, __ATOMIC_RELEASE);
	/* One that halted for ever cannot answer, and does nothing any more. */
	if (c->halted)
		vp_vcpu_stop(c);
	if (wait_gone(c, generation, timeout_ms))
		return 0;
	if (force) {
		vp_vcpu_stop(c);
		if (wait_gone(c, generation, FORCE_MS))
			return 0;
		return vp_err_set(err, -ETIMEDOUT,
				  "vCPU %u does not leave the guest; it will as soon as it can",
				  c->id);
	}
	__atomic_store_n(&info->give_up[c->id], 0, __ATOMIC_RELEASE);
	c->removing = false;
	return vp_err_set(err, -ETIMEDOUT,
			  "the guest did not give up vCPU %u within %u ms: try --force", c->id,
			  timeout_ms);
}

int vp_vm_vcpu_remove(struct vp_vm *vm, unsigned int id, unsigned int timeout_ms, bool force,
		      struct vp_err *err)
{
	int rc = check_hotplug(vm, err);

	if (rc)
		return rc;
	if (id >= VP_VCPU_MAX)
		return vp_err_set(err, -ENOENT, "%s has no vCPU %u", vm->name, id);
	pthread_mutex_lock(&vm->lock);
	rc = remove_locked(vm, &vm->vcpus[id], timeout_ms, force, err);
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

unsigned int vp_vm_vcpus(struct vp_vm *vm, struct vp_vm_vcpu_info *out, unsigned int max)
{
	unsigned int i, n = 0;

	pthread_mutex_lock(&vm->lock);
	for (i = 0; i < VP_VCPU_MAX; i++) {
		const struct vp_vcpu *c = &vm->vcpus[i];

		if (c->state != VP_VCPU_RUNNING)
			continue;
		if (n < max)
			out[n] = (struct vp_vm_vcpu_info){ c->id, c->thread_id, c->halted };
		n++;
	}
	pthread_mutex_unlock(&vm->lock);
	return n;
}
