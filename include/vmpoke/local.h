/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `local` target: a KVM VM in this process. This is what a VMM embeds.
 *
 * The VMM tells the target its RAM and its vCPUs and calls vp_local_run() where
 * it would have called ioctl(vcpu_fd, KVM_RUN, 0). Everything else (kicks,
 * arming, #BP exits, parking) happens inside.
 */
#ifndef VMPOKE_LOCAL_H
#define VMPOKE_LOCAL_H

#include <vmpoke/target.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vp_local;
struct vp_local_vcpu;
struct kvm_run;

/* How a guest int3 reaches us. Differs by host; probed once (docs/protocol.md, "Trap routes"). */
enum vp_trap_route {
	VP_ROUTE_NONE,		 /* it does not: only the stop strategy works */
	VP_ROUTE_DEBUG,		 /* KVM_EXIT_DEBUG with exception 3 */
	VP_ROUTE_INTERNAL_ERROR, /* KVM_EXIT_INTERNAL_ERROR, suberror emulation, bytes 0xCC ... */
};

/* "none", "KVM_EXIT_DEBUG", "KVM_EXIT_INTERNAL_ERROR" */
const char *vp_route_name(enum vp_trap_route route);

/*
 * Make an empty target. -ENOMEM. The kick signal (SIGRTMIN+1) gets an empty handler.
 *
 * @route: VP_ROUTE_DEBUG on every host with VMX or SVM; `vmpoke doctor` probes and tells. From now
 * on the target alone calls KVM_SET_GUEST_DEBUG: a VMM that debugs its guest must not do both.
 */
int vp_local_new(enum vp_trap_route route, struct vp_local **out, struct vp_err *err);

/* Free it: after every vCPU was detached and the engine freed. NULL is fine. */
void vp_local_free(struct vp_local *l);

/* The target for vp_engine_new(). Lives as long as @l. */
struct vp_target *vp_local_target(struct vp_local *l);

/*
 * Tell a RAM slot: @len bytes at host address @hva, which stay mapped until
 * vp_local_free(). @kvm_flags are those of KVM_SET_USER_MEMORY_REGION. -EEXIST on overlap, -ENOSPC.
 */
int vp_local_add_ram(struct vp_local *l, vp_gpa gpa, void *hva, size_t len, uint32_t kvm_flags,
		     struct vp_err *err);

/* Tell that a slot's flags changed (dirty logging on or off). -ENOENT. */
int vp_local_set_ram_flags(struct vp_local *l, vp_gpa gpa, uint32_t kvm_flags, struct vp_err *err);

/*
 * The host address of guest RAM, or NULL unless all @len bytes lie in one slot.
 */
void *vp_local_hva(struct vp_local *l, vp_gpa gpa, size_t len);

/*
 * On the vCPU's own thread, before its first run: join. Waits for a batch in
 * flight (S10). @run is the vCPU's mapped kvm_run; both stay valid until detach. -EEXIST, -ENOSPC.
 */
int vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
			 struct vp_local_vcpu **out, struct vp_err *err);

/* On the vCPU's own thread: leave, after the last run. Waits for a batch in flight. Frees @v. */
void vp_local_vcpu_detach(struct vp_local_vcpu *v);

/*
 * On the vCPU's own thread: run the guest until an exit that the VMM must handle.
 *   0       it is in kvm_run, as after ioctl(KVM_RUN) == 0
 *  -EINTR   somebody called vp_local_vcpu_interrupt(): look at your own flags
 *  -EIO     a #BP exit could not be carried out: the vCPU must not go on (see @err)
 *  other    -errno of KVM_RUN
 */
int vp_local_run(struct vp_local_vcpu *v, struct vp_err *err);

/* Make vp_local_run() return -EINTR soon, also if it waits in a hold or a park. Any thread. */
void vp_local_vcpu_interrupt(struct vp_local_vcpu *v);

/*
 * Hold every vCPU out of the guest until cont(): a user's pause. Pokes still work meanwhile.
 * Both are idempotent. Any thread.
 */
int vp_local_pause(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err);
void vp_local_cont(struct vp_local *l);
bool vp_local_paused(struct vp_local *l);

/* How many vCPUs are attached now. */
unsigned int vp_local_vcpu_count(struct vp_local *l);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_LOCAL_H */
