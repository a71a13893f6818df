/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM VMM: one virtual machine in this process, running Linux (docs/vmm-linux.md) or a guest
 * that follows docs/guest-abi.md.
 */
#ifndef VP_VMM_VM_H
#define VP_VMM_VM_H

#include <vmpoke/local.h>
#include <vmpoke/local.h>
#include <vmpoke/poke.h>
#include <vmpoke/symbol.h>

struct vp_vm;

/* Plain data; copied by vp_vm_create() except where it says borrowed. */
struct vp_vm_config {
	const char *name;     /* for messages; NULL: "vm" */
	const char *kvm_path; /* NULL: "/dev/kvm" */
	/* A guest's ELF file, or a Linux bzImage or vmlinux; borrowed until vp_vm_destroy(). */
	const void *image;
	size_t image_len;
	const char *image_what; /* names the image in messages, e.g. its path; borrowed likewise */
	const void *initrd;	/* Linux only; borrowed during vp_vm_create(); NULL: none */
	size_t initrd_len;
	const char *append; /* Linux only: added to its command line; NULL: nothing */
	unsigned int vcpus; /* started at once, 1..VP_VCPU_MAX */
	uint64_t ram_bytes; /* multiple of 2 MiB, at least 16 MiB; 0: 64 MiB, Linux 512 MiB */
	enum vp_serializer serializer; /* -EOPNOTSUPP: not right on this host */
	int console_fd;		       /* where the guest's serial output goes; -1: nowhere */
};

/* Why the VM ended. */
enum vp_vm_end {
	VP_VM_RUNNING,	    /* it has not */
	VP_VM_GUEST_EXIT,   /* the guest wrote its exit port; code is what it wrote */
	VP_VM_POWER_OFF,    /* the guest switched itself off */
	VP_VM_RESET,	    /* the guest wants to start again: destroy this VM, make a new one */
	VP_VM_TRIPLE_FAULT, /* text holds registers and code bytes, several lines */
	VP_VM_HOST_QUIT,    /* vp_vm_quit() */
	VP_VM_ERROR,	    /* KVM or an exit we cannot handle; text says what */
};

struct vp_vm_status {
	enum vp_vm_end end;
	unsigned int code;
	char text[1024];
};

struct vp_vm_vcpu_info {
	unsigned int id;
	int thread_id; /* host tid */
	bool halted;   /* in HLT with nothing to wake it */
};

/*
 * Open KVM, make RAM (a memfd), load the image, build boot page tables. No vCPU runs yet.
 *  -ENOENT/-EACCES/-ENODEV  KVM cannot be opened: the text says what to do
 *  -ENOEXEC                 the image is not a guest by docs/guest-abi.md, or damaged
 *  -EOPNOTSUPP              this serializer is not right on this host
 *  -EINVAL, -ENOMEM, -EIO
 */
int vp_vm_create(const struct vp_vm_config *cfg, struct vp_vm **out, struct vp_err *err);

/* End all vCPU threads and free everything. NULL is fine. */
void vp_vm_destroy(struct vp_vm *vm);

/* Start the vCPU threads. */
int vp_vm_start(struct vp_vm *vm, struct vp_err *err);

/* Wait until the VM has ended or @timeout_ms passed (< 0: for ever); then fill @st. True if ended.
 */
bool vp_vm_wait(struct vp_vm *vm, int timeout_ms, struct vp_vm_status *st);

/* A file descriptor that becomes readable when the VM has ended. Owned by the VM. */
int vp_vm_end_fd(struct vp_vm *vm);

/*
 * Finish what could not be when it was asked for, if it can be now: a batch that a vCPU kept
 * waiting, a call of a guest function that was given up. To be called about once a second.
 */
void vp_vm_settle(struct vp_vm *vm, unsigned int timeout_ms);

/* End the VM from outside. Any thread; not from a signal handler. */
void vp_vm_quit(struct vp_vm *vm);

/*
 * Add a vCPU; it starts at the guest's entry like the first ones. Gives its id (the lowest free).
 * -ENOSPC: there are VP_VCPU_MAX. -EOPNOTSUPP: Linux keeps those it was started with. Waits for a
 * batch in flight.
 */
int vp_vm_vcpu_add(struct vp_vm *vm, unsigned int *id, struct vp_err *err);

/*
 * Ask the guest to give up vCPU @id (docs/guest-abi.md, "Giving up a vCPU") and end it. -ETIMEDOUT:
 * the guest did not within @timeout_ms (the request stands withdrawn); @force ends it all the same.
 * -ENOENT, -EBUSY: the last one, -EOPNOTSUPP: Linux.
 */
int vp_vm_vcpu_remove(struct vp_vm *vm, unsigned int id, unsigned int timeout_ms, bool force,
		      struct vp_err *err);

/* Fill at most @max entries; returns how many vCPUs there are. */
unsigned int vp_vm_vcpus(struct vp_vm *vm, struct vp_vm_vcpu_info *out, unsigned int max);

/* Type @n bytes on the guest's serial port; returns how many there was room for. Any thread. */
size_t vp_vm_input(struct vp_vm *vm, const uint8_t *bytes, size_t n);

bool vp_vm_is_linux(struct vp_vm *vm);

/* What the user should know of how the VM was made, as one line; NULL: nothing. */
const char *vp_vm_notice(struct vp_vm *vm);

/* Parts, owned by the VM. */
struct vp_engine *vp_vm_engine(struct vp_vm *vm);
struct vp_local *vp_vm_local(struct vp_vm *vm);
/* From the ELF file; empty for Linux. */
const struct vp_symtab *vp_vm_symbols(struct vp_vm *vm);
const char *vp_vm_name(struct vp_vm *vm);
int vp_vm_ram_fd(struct vp_vm *vm); /* the memfd; guest-physical 0 is offset 0 */
uint64_t vp_vm_ram_bytes(struct vp_vm *vm);
enum vp_trap_route vp_vm_route(struct vp_vm *vm);

/* The host address of @len bytes of guest memory that were loaded from the image at @addr, or NULL.
 */
void *vp_vm_image_hva(struct vp_vm *vm, vp_gva addr, size_t len);

#endif /* VP_VMM_VM_H */
