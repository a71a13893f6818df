/* SPDX-License-Identifier: Apache-2.0 */
/* #BP exits: recognise one (docs/protocol.md, "Trap routes"), ask the sink, carry out its verdict.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "target/local_internal.h"
#include "x86/trap.h"

#define BP_VECTOR 3

/*
 * KVM reports the opcode bytes with an emulation failure (KVM api.rst, 5, KVM_EXIT_INTERNAL_ERROR).
 * The length of the int3 that it failed on, or 0.
 */
static size_t failed_int3_length(const struct kvm_run *run)
{
	size_t n = run->emulation_failure.insn_size;

	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || run->internal.ndata < 1 ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return 0;
	if (n > sizeof(run->emulation_failure.insn_bytes))
		n = sizeof(run->emulation_failure.insn_bytes);
	return vp_int3_length(run->emulation_failure.insn_bytes, n);
}

static bool is_bp(const struct vp_local_vcpu *v)
{
	const struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_DEBUG:
		return run->debug.arch.exception == BP_VECTOR;
	case KVM_EXIT_INTERNAL_ERROR:
		return v->l->route == VP_ROUTE_INTERNAL_ERROR && failed_int3_length(run);
	default:
		return false;
	}
}

void vp_regs_from_kvm(struct vp_regs *to, const struct kvm_regs *from)
{
	*to = (struct vp_regs){
		.gpr = { from->rax, from->rcx, from->rdx, from->rbx, from->rsp, from->rbp,
			 from->rsi, from->rdi, from->r8, from->r9, from->r10, from->r11, from->r12,
			 from->r13, from->r14, from->r15 },
		.rip = from->rip,
		.rflags = from->rflags,
	};
}

static void regs_to_kvm(struct kvm_regs *to, const struct vp_regs *from)
{
	*to = (struct kvm_regs){
		.rax = from->gpr[VP_RAX],
		.rcx = from->gpr[VP_RCX],
		.rdx = from->gpr[VP_RDX],
		.rbx = from->gpr[VP_RBX],
		.rsp = from->gpr[VP_RSP],
		.rbp = from->gpr[VP_RBP],
		.rsi = from->gpr[VP_RSI],
		.rdi = from->gpr[VP_RDI],
		.r8 = from->gpr[VP_R8],
		.r9 = from->gpr[VP_R9],
		.r10 = from->gpr[VP_R10],
		.r11 = from->gpr[VP_R11],
		.r12 = from->gpr[VP_R12],
		.r13 = from->gpr[VP_R13],
		.r14 = from->gpr[VP_R14],
		.r15 = from->gpr[VP_R15],
		.rip = from->rip,
		.rflags = from->rflags,
	};
}

/* Both KVM routes report RIP at the int3 itself. */
static int read_trap(struct vp_local_vcpu *v, struct vp_trap *trap)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(v->fd, KVM_GET_REGS, &regs) < 0 || ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	*trap = (struct vp_trap){
		.vcpu = v->id,
		.rip = VP_GVA(regs.rip),
		.paging = { sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer },
	};
	vp_regs_from_kvm(&trap->regs, &regs);
	return 0;
}

static int resume_at(struct vp_local_vcpu *v, const struct vp_regs *now)
{
	struct kvm_regs regs;

	regs_to_kvm(&regs, now);
	return ioctl(v->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

/*
 * Give the guest the #BP that it would have had (S6), with RIP after the int3. On
 * KVM_EXIT_DEBUG hosts KVM itself moves RIP by the length of the instruction that it
 * intercepted when it injects a soft exception (VMX: VM-entry instruction length; SVM:
 * nRIP), so RIP stays. Where the emulator failed, nobody knows the length: RIP is moved here.
 */
static int reinject(struct vp_local_vcpu *v, struct vp_regs *regs)
{
	struct kvm_vcpu_events events;
	int rc;

	if (v->l->route == VP_ROUTE_INTERNAL_ERROR) {
		regs->rip += failed_int3_length(v->run);
		rc = resume_at(v, regs);
		if (rc)
			return rc;
	}
	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	events.exception.injected = 1;
	events.exception.nr = BP_VECTOR;
	events.exception.has_error_code = 0;
	events.exception.error_code = 0;
	return ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events) < 0 ? -errno : 0;
}

/* Until the next unpark() after @seen were counted, or until the VMM wants the thread. */
static void park(struct vp_local_vcpu *v, uint64_t seen)
{
	struct vp_local *l = v->l;

	pthread_mutex_lock(&l->wait_lock);
	while (atomic_load(&l->unparks) == seen && !atomic_load(&v->interrupt))
		pthread_cond_wait(&l->changed, &l->wait_lock);
	pthread_mutex_unlock(&l->wait_lock);
}

static int carry_out(struct vp_local_vcpu *v)
{
	/* Sampled before the sink decides: see park() in core/trap.c. */
	uint64_t unparks = atomic_load(&v->l->unparks);
	const struct vp_trap_sink *sink = &v->l->target.sink;
	enum vp_verdict (*handle)(void *, struct vp_trap *);
	enum vp_verdict verdict = VP_VERDICT_FOREIGN;
	struct vp_regs before;
	struct vp_trap trap;
	int rc = read_trap(v, &trap);

	if (rc)
		return rc;
	before = trap.regs;
	/* Acquire: pairs with the engine's release store, so arg is there. */
	handle = __atomic_load_n(&sink->handle, __ATOMIC_ACQUIRE);
	if (handle)
		verdict = handle(sink->arg, &trap);
	switch (verdict) {
	case VP_VERDICT_RESUME:
		/* RIP is at the int3 already: write the registers only if the sink changed them. */
		return memcmp(&before, &trap.regs, sizeof(before)) ? resume_at(v, &trap.regs) : 0;
	case VP_VERDICT_PARK:
		park(v, unparks);
		return 0;
	case VP_VERDICT_FOREIGN:
		break;
	}
	return reinject(v, &trap.regs);
}

int vp_local_trap(struct vp_local_vcpu *v, struct vp_err *err)
{
	int rc;

	if (!is_bp(v))
		return 1;
	atomic_fetch_add(&v->traps, 1);
	atomic_store(&v->mode, VP_MODE_TRAP);
	vp_local_notify(v->l); /* out of the guest is an answer, too */
	rc = carry_out(v);
	if (rc)
		return vp_err_set(err, -EIO, "vCPU %u: a #BP exit could not be carried out (%d)",
				  v->id, rc);
	return 0;
}
