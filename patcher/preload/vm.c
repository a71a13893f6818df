/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM: its memory as the VMM tells KVM of it, and the gate between batches and what saves the
 * guest. Two VMs in one process are one too many: the first is followed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "preload/preload.h"

/* Since Linux 6.8; the first members are those of kvm_userspace_memory_region. */
#ifndef KVM_SET_USER_MEMORY_REGION2
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#define KVM_MEM_GUEST_MEMFD	    (1UL << 2)
struct kvm_userspace_memory_region2 {
	__u32 slot, flags;
	__u64 guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset;
	__u32 guest_memfd, pad1;
	__u64 pad2[14];
};
#endif

static _Atomic bool taken;			 /* there is a VM already */
static _Atomic(struct vp_preload_vm *) followed; /* that is it; NULL: it is left alone */

/* --- its life ------------------------------------------------------------------------ */

/* A signal that nobody has taken. */
static int make_local(struct vp_preload_vm *vm, struct vp_err *err)
{
	struct vp_local_config config = { .route = vm->route, .ram_moves = true };
	int rc = -EBUSY;

	/* From above: VMMs that take real-time signals begin below, and may do so later. */
	for (int sig = SIGRTMAX; sig > SIGRTMIN && rc == -EBUSY; sig--) {
		config.kick_signal = sig;
		rc = vp_local_new(&config, &vm->local, err);
	}
	return rc;
}

static int make(int kvm_fd, struct vp_preload_vm *vm, struct vp_err *err)
{
	int size, rc = vp_local_probe(kvm_fd, &vm->route, err);

	if (!rc && vm->route == VP_ROUTE_NONE)
		rc = vp_err_set(err, -EOPNOTSUPP, "this host's KVM does not report a guest's int3");
	if (rc)
		return rc;
	size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return vp_err_set(err, -EIO, "KVM_GET_VCPU_MMAP_SIZE says %d", size);
	vm->run_size = (size_t)size;
	return make_local(vm, err);
}

void vp_preload_vm_made(int kvm_fd, int fd, unsigned long type)
{
	struct vp_preload_vm *vm;
	struct vp_err err = { "" };

	if (type) {
		vp_preload_log("stepped aside: a VM of type %lu, whose memory is its own", type);
		return;
	}
	if (atomic_exchange(&taken, true)) {
		vp_preload_log("a second VM of this process is left alone");
		return;
	}
	vm = calloc(1, sizeof(*vm));
	if (!vm) {
		vp_preload_log("stepped aside: out of memory");
		return;
	}
	vm->file = (struct vp_preload_file){ VP_PRELOAD_VM, fd };
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->engine_lock, NULL);
	if (make(kvm_fd, vm, &err))
		vp_preload_step_aside(vm, "%s", err.text);
	else if (!vp_preload_follow(fd, &vm->file))
		vp_preload_step_aside(vm, "descriptor %d is too high", fd);
	else
		atomic_store(&followed, vm);
}

/* Its vCPUs are closed by now, or never will be. */
void vp_preload_vm_closed(struct vp_preload_vm *vm)
{
	atomic_store(&followed, NULL);
	vp_preload_step_aside(vm, "the VM is gone");
	vp_preload_serve_no_more();
	if (!vp_local_free(vm->local)) /* else a vCPU of it lives */
		vm->local = NULL;
	atomic_store(&taken, false);
}

/* --- memory slots ------------------------------------------------------------------------ */

static struct vp_preload_slot *find_slot(struct vp_preload_vm *vm, uint32_t id)
{
	for (size_t i = 0; i < vm->nslots; i++)
		if (vm->slots[i].id == id)
			return &vm->slots[i];
	return NULL;
}

static struct vp_preload_slot *new_slot(struct vp_preload_vm *vm)
{
	if (vm->nslots == vm->slots_cap) {
		size_t cap = vm->slots_cap ? 2 * vm->slots_cap : 32;
		struct vp_preload_slot *p = reallocarray(vm->slots, cap, sizeof(*p));

		if (!p)
			return NULL;
		vm->slots = p;
		vm->slots_cap = cap;
	}
	return &vm->slots[vm->nslots++];
}

static void tell_target(struct vp_preload_vm *vm, const struct vp_preload_slot *s)
{
	struct vp_err err;

	if (vp_local_add_ram(vm->local, VP_GPA(s->gpa), (void *)(uintptr_t)s->hva, s->size,
			     s->flags, &err))
		vp_preload_step_aside(vm, "%s", err.text);
}

/* KVM has taken @r: the same for us. */
static void take_over(struct vp_preload_vm *vm, const struct vp_preload_slot *r)
{
	struct vp_preload_slot *s = find_slot(vm, r->id);

	if (!r->size) {
		if (s)
			*s = vm->slots[--vm->nslots];
		return;
	}
	if (!s)
		s = new_slot(vm);
	if (!s) {
		vp_preload_step_aside(vm, "out of memory for a slot");
		return;
	}
	*s = *r;
	tell_target(vm, s);
}

/* The flags of a slot change, and nothing else. */
static int change_flags(struct vp_preload_vm *vm, struct vp_preload_slot *s,
			const struct vp_preload_slot *r, unsigned long request, void *arg)
{
	int rc = ioctl(vm->file.fd, request, arg), saved = errno;
	struct vp_err err;

	if (rc >= 0) {
		s->flags = r->flags;
		if (vp_local_set_ram_flags(vm->local, VP_GPA(s->gpa), s->flags, &err))
			vp_preload_step_aside(vm, "%s", err.text);
	}
	errno = saved;
	return rc;
}

/*
 * A slot that goes is forgotten before KVM hears of it: its memory may be unmapped behind that. If
 * KVM refuses, it is as before.
 */
static int change_slot(struct vp_preload_vm *vm, const struct vp_preload_slot *r,
		       unsigned long request, void *arg)
{
	struct vp_preload_slot *s = find_slot(vm, r->id);
	int rc, saved;

	if (s && r->size == s->size && r->gpa == s->gpa && r->hva == s->hva)
		return change_flags(vm, s, r, request, arg);
	if (s)
		vp_local_remove_ram(vm->local, VP_GPA(s->gpa), NULL);
	rc = ioctl(vm->file.fd, request, arg);
	saved = errno;
	if (rc >= 0)
		take_over(vm, r);
	else if (s)
		tell_target(vm, s);
	errno = saved;
	return rc;
}

/* The upper half of a slot's number is its address space: 1 is what SMM sees. */
#define ADDRESS_SPACE(id) ((id) >> 16)

static int set_region(struct vp_preload_vm *vm, unsigned long request, void *arg)
{
	const struct kvm_userspace_memory_region *m = arg;
	const struct vp_preload_slot r = { m->slot, m->guest_phys_addr, m->memory_size,
					   m->userspace_addr, m->flags };
	int rc;

	if (r.flags & KVM_MEM_GUEST_MEMFD)
		vp_preload_step_aside(vm, "the guest's memory is its own (guest_memfd)");
	if (ADDRESS_SPACE(r.id))
		return ioctl(vm->file.fd, request, arg);
	vp_preload_close_gate(vm);
	pthread_mutex_lock(&vm->lock);
	rc = change_slot(vm, &r, request, arg);
	pthread_mutex_unlock(&vm->lock);
	vp_preload_open_gate(vm);
	return rc;
}

/*
 * A snapshot in the background: from here on whoever writes to these pages waits until they are
 * saved as they are now, by a thread of the VMM's. It must never wait for us then: so nothing of
 * ours writes until the descriptor is closed.
 */
int vp_preload_write_protect(int fd, struct uffdio_writeprotect *arg)
{
	struct vp_preload_vm *vm = atomic_load(&followed);
	int rc;

	if (!vm || !(arg->mode & UFFDIO_WRITEPROTECT_MODE_WP) || atomic_load(&vm->protector))
		return ioctl(fd, UFFDIO_WRITEPROTECT, arg);
	vp_preload_close_gate(vm);
	rc = ioctl(fd, UFFDIO_WRITEPROTECT, arg);
	if (rc >= 0)
		vp_preload_leave_closed(vm, fd);
	else
		vp_preload_open_gate(vm);
	return rc;
}

void vp_preload_protector_closed(int fd)
{
	struct vp_preload_vm *vm = atomic_load(&followed);

	if (vm && atomic_load(&vm->protector) == fd + 1)
		vp_preload_open_again(vm);
}

/* --- what the VMM asks ---------------------------------------------------------------------- */

int vp_preload_vm_ioctl(struct vp_preload_vm *vm, unsigned long request, void *arg)
{
	int rc;

	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_SET_USER_MEMORY_REGION2:
		return set_region(vm, request, arg);
	case KVM_MEMORY_ENCRYPT_OP:
		vp_preload_step_aside(vm, "the guest's memory is encrypted");
		return ioctl(vm->file.fd, request, arg);
	case KVM_CREATE_VCPU:
		rc = ioctl(vm->file.fd, request, arg);
		if (rc >= 0)
			vp_preload_vcpu_made(vm, rc, (unsigned long)arg);
		return rc;
	default:
		return ioctl(vm->file.fd, request, arg);
	}
}
