/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `local` target: a KVM VM in this process. This is what a VMM embeds.
 *
 * The VMM tells the target its RAM and its vCPUs and calls vp_local_run() where
 * it would have called ioctl(vcpu_fd, KVM_RUN, 0). Everything else (kicks,
 * arming, #BP exits, parking) happens inside.
 *
 * Threads: any function may be called by any thread, beside any other one, from vp_local_new()
 * until vp_local_free(), unless it says something else. A vCPU's own thread may call all of them
 * between two runs. Some wait for a batch in flight, and say so: for the target's lock, which the
 * engine holds for as long as its timeouts allow. From a callback of the engine (vp_poke_opts) they
 * would wait for themselves: -EDEADLK. None may be called from a signal handler; what one may do is
 * to set kvm_run.immediate_exit of the vCPU that its thread runs.
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

/* How a guest's int3 reaches us: vp_local_probe() tells. docs/protocol.md, "Trap routes". */
enum vp_trap_route {
	VP_ROUTE_NONE,		 /* it does not: only the stop strategy works */
	VP_ROUTE_DEBUG,		 /* KVM_EXIT_DEBUG with exception 3 */
	VP_ROUTE_INTERNAL_ERROR, /* KVM_EXIT_INTERNAL_ERROR, suberror emulation, bytes 0xCC ... */
};

/* The name of a route: "none", "KVM_EXIT_DEBUG", "KVM_EXIT_INTERNAL_ERROR". */
const char *vp_route_name(enum vp_trap_route route);

/*
 * Find out this host's route, for vp_local_config.route. A VM of a few pages, made for this and
 * gone when the call returns, executes an int3, goes on behind it, and takes it back as a #BP.
 * VP_ROUTE_NONE, which is no error: one of these does not work here. @kvm_fd is an open /dev/kvm,
 * and stays the caller's. Takes some milliseconds; once a process is enough. Several threads may
 * probe at once.
 *  -EINVAL  @kvm_fd is no KVM
 *  others   as the ioctls of KVM that make a VM
 */
int vp_local_probe(int kvm_fd, enum vp_trap_route *route, struct vp_err *err);

/*
 * How every vCPU is made to serialize between the steps of a batch: docs/serialization.md says why
 * each is right, what it costs, and on which hosts it is.
 */
enum vp_serializer {
	VP_SERIALIZER_AUTO,	       /* the best that is right on this host */
	VP_SERIALIZER_KICK,	       /* a signal to each vCPU thread, and its answer */
	VP_SERIALIZER_KICK_MEMBARRIER, /* a signal to each, and membarrier(2) in place of answers */
	VP_SERIALIZER_MEMBARRIER,      /* membarrier(2) alone: no vCPU goes to user space */
};

/* Its name: "auto", "kick", "kick-membarrier", "membarrier". */
const char *vp_serializer_name(enum vp_serializer s);

/*
 * Why it is not right on this host, whose int3s come by @route; NULL: it is. Registers this process
 * with membarrier(2), which does no harm.
 */
const char *vp_serializer_why_not(enum vp_serializer s, enum vp_trap_route route);

/* What VP_SERIALIZER_AUTO becomes. */
enum vp_serializer vp_serializer_best(enum vp_trap_route route);

struct vp_local_config {
	/* What vp_local_probe() has found; VP_ROUTE_DEBUG on every host with VMX or SVM. */
	enum vp_trap_route route;
	/*
	 * The signal that calls a vCPU thread out of KVM_RUN; 0: SIGRTMIN + 1. Ours alone in this
	 * process, from vp_local_new() until its end: we install its handler (SA_RESTART, so system
	 * calls of other code go on), and several targets may share it. A signal that has a handler
	 * already, or is ignored, is refused.
	 */
	int kick_signal;
	/* Another one than AUTO that is not right on this host is refused. */
	enum vp_serializer serializer;
	/* Slots come and go: vp_local_remove_ram() is allowed. A look at RAM costs a little more.
	 */
	bool ram_moves;
};

/*
 * Make an empty target. @config is copied. -ENOMEM; -EINVAL: no signal; -EBUSY: the signal is
 * taken; -EOPNOTSUPP: this serializer is not for this host. Several threads may make one each.
 *
 * From now on the target alone calls KVM_SET_GUEST_DEBUG: a VMM that debugs its guest does it by
 * vp_local_vcpu_guest_debug().
 */
int vp_local_new(const struct vp_local_config *config, struct vp_local **out, struct vp_err *err);

/* The kick signal, for a VMM that blocks signals in its vCPU threads: leave this one out. */
int vp_local_kick_signal(const struct vp_local *l);

/*
 * Free it: after every vCPU was detached and vp_engine_free() returned 0. NULL is fine. Nobody may
 * be in another function of it, or call one afterwards.
 *  -EBUSY  a vCPU is attached, or the engine is there: nothing is freed
 */
int vp_local_free(struct vp_local *l);

/* The target for vp_engine_new(). Lives as long as @l. */
struct vp_target *vp_local_target(struct vp_local *l);

/*
 * Tell a RAM slot: @len bytes at host address @hva, which stay mapped until vp_local_remove_ram()
 * or vp_local_free(). @kvm_flags are those of KVM_SET_USER_MEMORY_REGION. Also while vCPUs run;
 * waits for a batch in flight. -EEXIST on overlap, -ENOSPC, -EINVAL: no memory.
 *
 * A slot with KVM_MEM_READONLY is read only: it may be mapped without PROT_WRITE. A site in it is
 * refused (-EROFS).
 */
int vp_local_add_ram(struct vp_local *l, vp_gpa gpa, void *hva, size_t len, uint32_t kvm_flags,
		     struct vp_err *err);

/*
 * With vp_local_config.ram_moves: the slot that begins at @gpa is no more. When it returns nobody
 * of ours looks at its memory, which may be unmapped then; pointers of vp_local_hva() into it are
 * void. Waits for a read or write in progress, never for a batch. -ENOENT.
 */
int vp_local_remove_ram(struct vp_local *l, vp_gpa gpa, struct vp_err *err);

/*
 * Tell that a slot's flags changed: dirty logging on or off, read-only or not. Waits for a batch in
 * flight. -ENOENT. The order is that of "Saving the guest" below.
 */
int vp_local_set_ram_flags(struct vp_local *l, vp_gpa gpa, uint32_t kvm_flags, struct vp_err *err);

/*
 * Saving the guest (a snapshot, a migration, a change of a slot to read-only). An int3 of ours that
 * is saved stands in the copy for ever, and what we write escapes KVM's dirty log. So:
 *
 *	vp_engine_freeze(engine, ...)		no int3 of ours stands, no batch begins
 *	KVM_SET_USER_MEMORY_REGION		dirty logging on; or read all of RAM
 *	vp_local_set_ram_flags(l, ...)		from here on the flags refuse batches
 *	vp_engine_thaw(engine)
 *
 * A snapshot without dirty logging is taken between freeze and thaw. When the log is off again,
 * tell so by vp_local_set_ram_flags().
 */

/*
 * The host address of guest RAM, or NULL unless all @len bytes lie in one slot. It may be that of a
 * read-only slot. Waits for nobody.
 */
void *vp_local_hva(struct vp_local *l, vp_gpa gpa, size_t len);

/*
 * On the vCPU's own thread, before its first run: join. Waits for a batch in
 * flight (S10). @run is the vCPU's mapped kvm_run; both stay valid until detach. -EEXIST, -ENOSPC;
 * -EINVAL: the thread blocks the kick signal. It must stay unblocked until detach, also within
 * KVM_RUN if the VMM uses KVM_SET_SIGNAL_MASK.
 */
int vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
			 struct vp_local_vcpu **out, struct vp_err *err);

/*
 * On the vCPU's own thread: leave, after the last run. Waits for a batch in flight. Frees @v; its
 * number is free then, for another thread, too.
 */
void vp_local_vcpu_detach(struct vp_local_vcpu *v);

/*
 * On the vCPU's own thread: run the guest until an exit that the VMM must handle. An int3 of ours
 * is handled inside, by whichever exit it comes.
 *   0       it is in kvm_run, as after ioctl(KVM_RUN) == 0
 *  -EINTR   somebody called vp_local_vcpu_interrupt(), or KVM_RUN would have returned it: a signal
 *           other than ours came, or the VMM has set kvm_run.immediate_exit (to 1; bit 1 is ours,
 *           and only bit 0 is left as the VMM set it; any thread may set it, but only this one may
 *           clear it, between two runs). Also from a hold or a park. Look at your
 *           own flags, clear immediate_exit, call again
 *  -EIO     a #BP exit could not be carried out: the vCPU must not go on (see @err)
 *  -EPERM   another thread has attached it
 *  other    -errno of KVM_RUN
 */
int vp_local_run(struct vp_local_vcpu *v, struct vp_err *err);

/*
 * On the vCPU's own thread, in place of KVM_SET_GUEST_DEBUG: what the VMM's own debugger wants,
 * until it says otherwise. What a batch needs is added. An int3 that is none of ours is the
 * debugger's then, if it wants int3s (KVM_GUESTDBG_USE_SW_BP): vp_local_run() returns 0 with it,
 * and the VMM must give it to the guest if it is not its own, as without us. -errno of the ioctl.
 */
struct kvm_guest_debug;
int vp_local_vcpu_guest_debug(struct vp_local_vcpu *v, const struct kvm_guest_debug *debug);

/*
 * Make vp_local_run() of vCPU @id return -EINTR soon, also if it waits in a hold or a park. Any
 * thread, at any time until vp_local_free(); waits for nobody. -ENOENT: it is not attached, or has
 * been detached meanwhile. -EAGAIN: the host has no room for one more signal of this user's
 * (RLIMIT_SIGPENDING), though 50 ms were given it: it returns at its next exit; try again.
 */
int vp_local_vcpu_interrupt(struct vp_local *l, unsigned int id);

/*
 * Hold every vCPU out of the guest until vp_local_cont(): a user's pause. Pokes still work
 * meanwhile, and vCPUs come and go. Paused already: nothing is done. Waits for a batch in flight.
 * @timeout_ms as in vp_poke_opts. -ETIMEDOUT: a vCPU did not answer, and all go on.
 */
int vp_local_pause(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err);

/* Let the vCPUs go on after vp_local_pause(), if they were paused. Waits for a batch in flight. */
void vp_local_cont(struct vp_local *l);

/* Is it paused by vp_local_pause()? Waits for nobody. */
bool vp_local_paused(struct vp_local *l);

/* What the target has done to vCPUs so far. */
struct vp_local_counts {
	uint64_t syncs;	   /* rounds of "every vCPU has serialized", those that arm included */
	uint64_t kicks;	   /* signals to vCPU threads for that, and to arm: an interrupt each, or a
			      wake-up */
	uint64_t barriers; /* calls of membarrier(2): an interrupt to each core that runs us */
	uint64_t wakes;	   /* how often a thread was woken that was held, parked or stayed out */
	uint64_t stayed;   /* how often a vCPU stayed out for others to answer */
};

/*
 * Of all vCPUs that are attached; or of vCPU @id, for which only kicks and stayed are told:
 * -ENOENT. Waits for nobody.
 */
void vp_local_stats(struct vp_local *l, struct vp_local_counts *out);
int vp_local_vcpu_stats(struct vp_local *l, unsigned int id, struct vp_local_counts *out);

/* How many vCPUs are attached now. Waits for nobody. */
unsigned int vp_local_vcpu_count(struct vp_local *l);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_LOCAL_H */
