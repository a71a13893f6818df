/* SPDX-License-Identifier: Apache-2.0 */
/* One vCPU: its thread and its exits. */
#include "vmm/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* End the VM because this vCPU cannot go on. */
static bool die(struct vp_vcpu *c, enum vp_vm_end end, const char *why)
{
	char text[sizeof(c->vm->status.text)];

	vp_fault_text(c, why, text, sizeof(text));
	vp_vm_end(c->vm, end, 0, text);
	return false;
}

/* One `out` of @size bytes. False: the thread is to end. */
static bool port_out(struct vp_vcpu *c, uint32_t port, const uint8_t *data, unsigned int size)
{
	uint32_t value = 0;

	if (!c->vm->is_linux && port == VP_PORT_EXIT) {
		memcpy(&value, data, size);
		vp_vm_end(c->vm, VP_VM_GUEST_EXIT, value, "");
		return false;
	}
	if (!c->vm->is_linux && port == VP_PORT_GIVE_UP)
		return false;
	vp_ports_out(c->vm, port, data, size);
	return true;
}

/* KVM_EXIT_IO: count > 1 for string instructions. The next KVM_RUN completes it. */
static bool exit_io(struct vp_vcpu *c)
{
	const struct kvm_run *run = c->run;
	uint64_t bytes = (uint64_t)run->io.size * run->io.count;
	uint8_t *data = (uint8_t *)c->run + run->io.data_offset;
	uint32_t i;

	if (run->io.size > sizeof(uint32_t) || run->io.data_offset > c->vm->run_size ||
	    bytes > c->vm->run_size - run->io.data_offset)
		return die(c, VP_VM_ERROR, "KVM_EXIT_IO with data outside kvm_run");
	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			vp_ports_in(c->vm, run->io.port, data, run->io.size);
		else if (!port_out(c, run->io.port, data, run->io.size))
			return false;
	}
	return true;
}

/* KVM_EXIT_HLT comes only without an irqchip: nothing can wake it but its end. */
static bool exit_hlt(struct vp_vcpu *c)
{
	struct vp_vm *vm = c->vm;

	pthread_mutex_lock(&vm->lock);
	c->halted = true;
	pthread_cond_broadcast(&vm->changed);
	while (!atomic_load(&c->stop))
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	return false;
}

static bool exit_internal_error(struct vp_vcpu *c)
{
	const struct kvm_run *run = c->run;
	char why[128];
	uint32_t i, n;
	int at;

	at = snprintf(why, sizeof(why), "KVM_EXIT_INTERNAL_ERROR, suberror %u",
		      run->internal.suberror);
	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 1 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
		n = run->emulation_failure.insn_size;
		at += snprintf(why + at, sizeof(why) - (size_t)at,
			       ", this KVM cannot emulate the instruction");
		for (i = 0; i < n && i < VP_INSN_MAX; i++)
			at += snprintf(why + at, sizeof(why) - (size_t)at, " %02x",
				       run->emulation_failure.insn_bytes[i]);
	}
	return die(c, VP_VM_ERROR, why);
}

/* Run until an exit and handle it. False: the thread is to end. */
static bool vcpu_step(struct vp_vcpu *c)
{
	struct kvm_run *run = c->run;
	struct vp_err err = { "" };
	char why[300];
	int rc;

	rc = vp_local_run(c->local, &err);
	if (rc == -EINTR)
		return true;
	if (rc) {
		snprintf(why, sizeof(why), "KVM_RUN: %s", err.text[0] ? err.text : strerror(-rc));
		return die(c, VP_VM_ERROR, why);
	}
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return exit_io(c);
	case KVM_EXIT_MMIO:
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return true;
	case KVM_EXIT_HLT:
		return exit_hlt(c);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		return die(c, VP_VM_TRIPLE_FAULT, "triple fault");
	case KVM_EXIT_INTERNAL_ERROR:
		return exit_internal_error(c);
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(why, sizeof(why), "KVM_EXIT_FAIL_ENTRY, hardware reason 0x%" PRIx64,
			 (uint64_t)run->fail_entry.hardware_entry_failure_reason);
		return die(c, VP_VM_ERROR, why);
	case KVM_EXIT_SYSTEM_EVENT:
		snprintf(why, sizeof(why), "KVM_EXIT_SYSTEM_EVENT, type %u",
			 run->system_event.type);
		return die(c, VP_VM_ERROR, why);
	case KVM_EXIT_DEBUG:
		snprintf(why, sizeof(why), "KVM_EXIT_DEBUG, exception %u, that nobody asked for",
			 run->debug.arch.exception);
		return die(c, VP_VM_ERROR, why);
	default:
		snprintf(why, sizeof(why), "unknown KVM exit reason %u", run->exit_reason);
		return die(c, VP_VM_ERROR, why);
	}
}

/*
 * Port I/O and MMIO are complete only after the next KVM_RUN (KVM api.rst, "KVM_EXIT_IO"). The fd
 * will be used again with other registers, so let KVM finish now, without running the guest.
 */
static void complete_io(struct vp_vcpu *c)
{
	unsigned int i;

	c->run->immediate_exit = 1;
	for (i = 0; i < 16; i++)
		if (ioctl(c->fd, KVM_RUN, 0))
			break;
	c->run->immediate_exit = 0;
}

static bool vcpu_join(struct vp_vcpu *c)
{
	struct vp_vm *vm = c->vm;
	struct vp_local_vcpu *local = NULL;
	struct vp_err err = { "" };
	int rc;

	rc = vp_local_vcpu_attach(vm->local, c->id, c->fd, c->run, &local, &err);
	pthread_mutex_lock(&vm->lock);
	c->local = local;
	c->thread_id = gettid();
	c->start_rc = rc;
	c->start_err = err;
	if (!rc)
		c->state = VP_VCPU_RUNNING;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	return !rc;
}

/* Tell a guest of docs/guest-abi.md, in its boot information, whether the vCPU exists. */
static void announce(struct vp_vcpu *c, bool online)
{
	struct vp_boot_info *info = vp_boot_info(&c->vm->ram);

	if (c->vm->is_linux)
		return;
	__atomic_store_n(&info->online[c->id], online, __ATOMIC_RELEASE);
	__atomic_store_n(&info->give_up[c->id], 0, __ATOMIC_RELEASE);
}

static void vcpu_leave(struct vp_vcpu *c)
{
	struct vp_vm *vm = c->vm;
	struct vp_local_vcpu *local = c->local;

	/* From here on nobody interrupts it. */
	pthread_mutex_lock(&vm->lock);
	c->local = NULL;
	pthread_mutex_unlock(&vm->lock);
	if (local) {
		vp_local_vcpu_detach(local);
		complete_io(c);
	}
	announce(c, false);
	pthread_mutex_lock(&vm->lock);
	c->state = VP_VCPU_FREE;
	if (--vm->live == 0 && !c->start_rc)
		vp_vm_end_locked(vm, VP_VM_ERROR, 0, "the guest gave up its last vCPU");
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static void *vcpu_main(void *arg)
{
	struct vp_vcpu *c = arg;

	if (vcpu_join(c))
		while (!atomic_load(&c->stop) && vcpu_step(c))
			;
	vcpu_leave(c);
	return NULL;
}

int vp_vcpu_begin(struct vp_vcpu *c, struct vp_err *err)
{
	sigset_t block, old;
	int rc;

	c->generation++;
	c->halted = c->removing = false;
	c->start_rc = 0;
	atomic_store(&c->stop, false);
	announce(c, true);
	/* Signals are for the program's own threads: vCPUs take the kick only. */
	sigfillset(&block);
	sigdelset(&block, vp_local_kick_signal(c->vm->local));
	pthread_sigmask(SIG_SETMASK, &block, &old);
	rc = pthread_create(&c->thread, NULL, vcpu_main, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		announce(c, false);
		return vp_err_set(err, -rc, "vCPU %u: cannot make a thread: %s", c->id,
				  strerror(rc));
	}
	c->joinable = true;
	c->state = VP_VCPU_STARTING;
	c->vm->live++;
	return 0;
}

int vp_vcpu_await(struct vp_vcpu *c, struct vp_err *err)
{
	while (c->state == VP_VCPU_STARTING)
		pthread_cond_wait(&c->vm->changed, &c->vm->lock);
	if (c->start_rc)
		return vp_err_set(err, c->start_rc, "%s", c->start_err.text);
	return 0;
}
