/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU. The thread that first calls KVM_RUN for it joins the target, and leaves it when it ends;
 * then another one may come (a VMM keeps the descriptors of vCPUs that were unplugged).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "preload/preload.h"
#include "target/local_internal.h"

/* The kernel's set of signals, not the C library's. */
#define KERNEL_SIGSET 8u

static __thread struct vp_preload_vcpu *mine; /* what this thread runs */
static pthread_key_t own;		      /* the same, for its end */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* --- joining and leaving ------------------------------------------------------------- */

static void leave(struct vp_preload_vcpu *c)
{
	struct vp_local_vcpu *local;

	pthread_mutex_lock(&c->vm->lock); /* for who calls vCPUs out */
	local = c->local;
	c->local = NULL;
	pthread_mutex_unlock(&c->vm->lock);
	if (!local)
		return;
	c->debug = local->debug;
	vp_local_share_regs(local, false);
	vp_local_vcpu_detach(local);
}

/* A thread ends, or is another vCPU's from now on. */
static void on_thread_end(void *arg)
{
	struct vp_preload_vcpu *c = arg;

	mine = NULL;
	if (vp_preload_is_parent())
		leave(c);
}

static void make_key(void)
{
	pthread_key_create(&own, on_thread_end);
}

static void unblock_kick(const struct vp_preload_vm *vm)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, vp_local_kick_signal(vm->local));
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* False: it is run without us. */
static bool join(struct vp_preload_vcpu *c)
{
	struct vp_preload_vm *vm = c->vm;
	struct vp_err err;

	pthread_once(&once, make_key);
	if (mine)
		on_thread_end(mine);
	if (c->local) {
		vp_preload_step_aside(vm, "vCPU %u is run by two threads", c->id);
		return false;
	}
	if (!vp_local_has_signal(vm->local)) {
		vp_preload_step_aside(vm, "the VMM has taken signal %d",
				      vp_local_kick_signal(vm->local));
		return false;
	}
	unblock_kick(vm);
	if (vp_local_vcpu_attach(vm->local, c->id, c->file.fd, c->run, &c->local, &err)) {
		vp_preload_step_aside(vm, "%s", err.text);
		return false;
	}
	mine = c;
	pthread_setspecific(own, c);
	/* Of an earlier thread of this vCPU KVM may still be armed. */
	if (vp_local_vcpu_guest_debug(c->local, &c->debug))
		vp_preload_step_aside(vm, "vCPU %u: its guest debug is lost", c->id);
	vp_preload_serve(vm);
	return true;
}

/* NULL: it will run without us. */
static struct vp_preload_vcpu *make(struct vp_preload_vm *vm, int fd, unsigned long id)
{
	struct vp_preload_vcpu *c;

	if (atomic_load(&vm->aside))
		return NULL;
	if (id >= VP_VCPU_MAX) {
		vp_preload_step_aside(vm, "vCPU %lu: at most %d are supported", id, VP_VCPU_MAX);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		vp_preload_step_aside(vm, "out of memory for vCPU %lu", id);
		return NULL;
	}
	*c = (struct vp_preload_vcpu){
		.file = { VP_PRELOAD_VCPU, fd },
		.vm = vm,
		.id = (unsigned int)id,
		.run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
	};
	if (c->run != MAP_FAILED && vp_preload_follow(fd, &c->file))
		return c;
	if (c->run != MAP_FAILED)
		munmap(c->run, vm->run_size);
	free(c);
	vp_preload_step_aside(vm, "vCPU %lu: its kvm_run cannot be mapped", id);
	return NULL;
}

void vp_preload_vcpu_made(struct vp_preload_vm *vm, int fd, unsigned long id)
{
	struct vp_preload_vcpu *c = make(vm, fd, id);

	if (!c) {
		vp_preload_shut_gate(vm);
		return;
	}
	pthread_mutex_lock(&vm->lock);
	vm->vcpus[id] = c;
	pthread_mutex_unlock(&vm->lock);
}

void vp_preload_vcpu_closed(struct vp_preload_vcpu *c)
{
	struct vp_preload_vm *vm = c->vm;

	if (atomic_load(&c->inside) !=
	    VP_PRELOAD_OUT) { /* its thread is in KVM_RUN, and leaves itself */
		vp_preload_step_aside(vm, "vCPU %u is closed while it runs", c->id);
		return;
	}
	leave(c);
	munmap(c->run, vm->run_size); /* it keeps KVM's VM there */
	pthread_mutex_lock(&vm->lock);
	if (vm->vcpus[c->id] == c)
		vm->vcpus[c->id] = NULL;
	pthread_mutex_unlock(&vm->lock);
}

/* --- what the VMM asks ------------------------------------------------------------------- */

/*
 * While nothing is patched the target need not know of each exit. 1: it must, now. The vCPU says
 * where it is, then looks whether the VM is active; vp_preload_activate() does it the other way
 * round.
 */
static int run_plain(struct vp_preload_vcpu *c)
{
	int rc;

	atomic_store(&c->inside, VP_PRELOAD_PLAIN);
	if (atomic_load(&c->vm->active) || atomic_load(&c->local->armed))
		return 1;
	vp_local_await_kick();
	rc = ioctl(c->file.fd, KVM_RUN, 0);
	if (rc < 0 && errno == EINTR && !vp_local_was_foreign(c->local))
		return 1; /* nobody but us has called it out */
	atomic_store_explicit(&c->inside, VP_PRELOAD_OUT, memory_order_release);
	return rc;
}

static int run_known(struct vp_preload_vcpu *c)
{
	struct vp_err err = { "" };
	int before = errno, rc;

	atomic_store(&c->inside, VP_PRELOAD_KNOWN);
	rc = vp_local_run(c->local, &err);
	atomic_store(&c->inside, VP_PRELOAD_OUT);
	errno = rc ? -rc : before;
	if (rc == -EINTR) /* it may not have come to KVM_RUN at all: what stands there is old */
		c->run->exit_reason = KVM_EXIT_INTR;
	if (!rc)
		return 0;
	if (rc == -EIO && *err.text)
		vp_preload_log("%s", err.text);
	errno = -rc;
	return -1;
}

int vp_preload_vcpu_run(struct vp_preload_vcpu *c)
{
	bool joined = mine == c && c->local;
	int rc;

	if (!joined && (atomic_load(&c->vm->aside) || !join(c))) {
		vp_preload_shut_gate(c->vm);
		return ioctl(c->file.fd, KVM_RUN, 0);
	}
	rc = run_plain(c);
	return rc == 1 ? run_known(c) : rc;
}

static int set_debug(struct vp_preload_vcpu *c, const struct kvm_guest_debug *debug)
{
	int rc;

	if (!c->local) {
		rc = ioctl(c->file.fd, KVM_SET_GUEST_DEBUG, debug);
		if (rc >= 0)
			c->debug = *debug;
		return rc;
	}
	rc = vp_local_vcpu_guest_debug(c->local, debug);
	if (!rc)
		return 0;
	errno = -rc;
	return -1;
}

/* The signals that KVM_RUN keeps blocked, without ours. */
static int set_mask(struct vp_preload_vcpu *c, const struct kvm_signal_mask *mask)
{
	_Alignas(struct kvm_signal_mask) uint8_t room[sizeof(*mask) + KERNEL_SIGSET];
	unsigned int bit = (unsigned int)vp_local_kick_signal(c->vm->local) - 1;

	if (!mask || mask->len != KERNEL_SIGSET)
		return ioctl(c->file.fd, KVM_SET_SIGNAL_MASK, mask);
	memcpy(room, mask, sizeof(room));
	room[sizeof(*mask) + bit / 8] &= (uint8_t) ~(1u << bit % 8);
	return ioctl(c->file.fd, KVM_SET_SIGNAL_MASK, room);
}

int vp_preload_vcpu_ioctl(struct vp_preload_vcpu *c, unsigned long request, void *arg)
{
	switch (request) {
	case KVM_SET_GUEST_DEBUG:
		return set_debug(c, arg);
	case KVM_SET_SIGNAL_MASK:
		return set_mask(c, arg);
	default:
		return ioctl(c->file.fd, request, arg);
	}
}
