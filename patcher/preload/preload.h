/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvmpoke-kvm.so: a VMM that knows nothing of us, with this library preloaded, has the local
 * target. The files, from the top: interpose.c (what the VMM calls), vm.c (the VM and its memory),
 * vcpu.c (a vCPU and its thread), server.c (the control socket), name.c (what it is called),
 * gate.c (what keeps batches and snapshots apart), follow.c.
 *
 * Whatever is not as expected: the library steps aside with one line, and the VMM runs as if it
 * were not there. No lock of ours is held while the VMM's own code runs.
 */
#ifndef VP_PRELOAD_PRELOAD_H
#define VP_PRELOAD_PRELOAD_H

#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <vmpoke/local.h>
#include <vmpoke/poke.h>

/* --- follow.c --------------------------------------------------------------------- */

/* A descriptor of the VMM's that we follow. Never freed: a thread may be on its way to it. */
enum vp_preload_kind { VP_PRELOAD_VM, VP_PRELOAD_VCPU };

struct vp_preload_file {
	enum vp_preload_kind kind;
	int fd;
};

#define VP_PRELOAD_FDS 65536u
extern _Atomic(struct vp_preload_file *) vp_preload_files[VP_PRELOAD_FDS];
extern _Atomic bool vp_preload_forked;

/* NULL: it is none that we follow. Each ioctl of the VMM's looks here. */
static inline struct vp_preload_file *vp_preload_followed(int fd)
{
	if (fd < 0 || (unsigned int)fd >= VP_PRELOAD_FDS)
		return NULL;
	return atomic_load_explicit(&vp_preload_files[fd], memory_order_acquire);
}

/* @file NULL: follow it no more. False: the number is too high. */
bool vp_preload_follow(int fd, struct vp_preload_file *file);

/* Are we the process that the VM was made in, and not one that was forked? */
static inline bool vp_preload_is_parent(void)
{
	return !atomic_load_explicit(&vp_preload_forked, memory_order_relaxed);
}

/* One line on stderr, which libvirt keeps as the VM's log. */
__attribute__((format(printf, 1, 2))) void vp_preload_log(const char *fmt, ...);

/* Leave the VM alone from now on; once. What is applied stays as it is. */
struct vp_preload_vm;
__attribute__((format(printf, 2, 3))) void vp_preload_step_aside(struct vp_preload_vm *vm,
								 const char *fmt, ...);

/* --- vm.c -------------------------------------------------------------------------- */

struct vp_preload_slot {
	uint32_t id;
	uint64_t gpa, size, hva;
	uint32_t flags;
};

struct vp_preload_vcpu;

struct vp_preload_vm {
	struct vp_preload_file file; /* first */
	struct vp_local *local;
	enum vp_trap_route route;
	size_t run_size;
	_Atomic bool aside;    /* it is left alone: `why` */
	_Atomic bool shut;     /* the gate, for good */
	_Atomic int protector; /* a userfaultfd that protects its memory, + 1; 0: none does */
	char why[200];

	/* What follows is changed under it; taken before all locks of the target. */
	pthread_mutex_t lock;
	struct vp_preload_slot *slots;
	size_t nslots, slots_cap;
	struct vp_preload_vcpu *vcpus[VP_VCPU_MAX];

	/*
	 * The engine is there while a command runs, and longer only if a vCPU keeps a batch
	 * waiting. Changed, and frozen while the VMM saves the guest, under `engine_lock`. While
	 * there is one, or a call that was given up, the VM is `active`: every vCPU runs by the
	 * target.
	 */
	pthread_mutex_t engine_lock;
	_Atomic bool active;
	struct vp_engine *engine;
};

/* KVM_CREATE_VM has given @fd to the VMM. */
void vp_preload_vm_made(int kvm_fd, int fd, unsigned long type);

/* An ioctl on the VM's descriptor. */
int vp_preload_vm_ioctl(struct vp_preload_vm *vm, unsigned long request, void *arg);

/* The VMM closes it. */
void vp_preload_vm_closed(struct vp_preload_vm *vm);

/* UFFDIO_WRITEPROTECT, whosever memory that is. */
int vp_preload_write_protect(int fd, struct uffdio_writeprotect *arg);
void vp_preload_protector_closed(int fd); /* any descriptor: perhaps it was that one */

/* --- gate.c ---------------------------------------------------------------------------- */

/* Both leave errno alone. In between the VMM's own call may be made, none of its code. */
void vp_preload_close_gate(struct vp_preload_vm *vm);
void vp_preload_open_gate(struct vp_preload_vm *vm);

/* Leave it closed while @fd protects the guest's memory; then open it. */
void vp_preload_leave_closed(struct vp_preload_vm *vm, int fd);
void vp_preload_open_again(struct vp_preload_vm *vm);

/* Of a VM that is left alone: before a vCPU runs that the target does not know. */
void vp_preload_shut_gate(struct vp_preload_vm *vm);

/*
 * The VM is active from now on: when this returns no vCPU is in KVM_RUN that the target does not
 * know. -ETIMEDOUT: one does not come out.
 */
int vp_preload_activate(struct vp_preload_vm *vm, struct vp_err *err);

/* --- vcpu.c -------------------------------------------------------------------------- */

/* Where a vCPU's thread is. */
enum vp_preload_inside {
	VP_PRELOAD_OUT,	  /* in the VMM */
	VP_PRELOAD_PLAIN, /* in KVM_RUN, and the target does not know */
	VP_PRELOAD_KNOWN, /* in vp_local_run() */
};

struct vp_preload_vcpu {
	struct vp_preload_file file; /* first */
	struct vp_preload_vm *vm;
	unsigned int id;
	struct kvm_run *run;
	/* Of the thread that runs it, and of who sees it gone. */
	struct vp_local_vcpu *local;  /* NULL: it has not run yet */
	struct kvm_guest_debug debug; /* what the VMM asked for before it ran */
	_Atomic int inside;	      /* enum vp_preload_inside */
};

void vp_preload_vcpu_made(struct vp_preload_vm *vm, int fd, unsigned long id);
int vp_preload_vcpu_run(struct vp_preload_vcpu *c); /* KVM_RUN */
int vp_preload_vcpu_ioctl(struct vp_preload_vcpu *c, unsigned long request, void *arg);
void vp_preload_vcpu_closed(struct vp_preload_vcpu *c);

/* --- server.c ------------------------------------------------------------------------ */

/* The VM runs: serve its control socket from now on, once. */
void vp_preload_serve(struct vp_preload_vm *vm);

/* Of a VM that goes; of a process that ends. */
void vp_preload_serve_no_more(void);
void vp_preload_unlink(void);

/* --- name.c ---------------------------------------------------------------------------- */

/* $VMPOKE_NAME, or what QEMU's -name says, or "PROGRAM-PID". Valid as a file's name. */
void vp_preload_name(char *name, size_t size);

/* What QEMU's -uuid says; "": nothing. */
void vp_preload_uuid(char *uuid, size_t size);

#endif /* VP_PRELOAD_PRELOAD_H */
