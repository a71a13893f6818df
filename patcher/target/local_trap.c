/* SPDX-License-Identifier: Apache-2.0 */
/* #BP exits: recognise one (docs/protocol.md, "Trap routes"), ask the sink, carry out its verdict.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "target/local_internal.h"
#include "x86/trap.h"
#include "x86/walk.h"

#define BP_VECTOR 3

#define UD_VECTOR 6

/* KVM reports the opcode bytes with an emulation failure (KVM api.rst, 5, KVM_EXIT_INTERNAL_ERROR),
 * since Linux 5.14. */
static bool has_bytes(const struct kvm_run *run)
{
	return run->internal.ndata >= 1 &&
	       run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES &&
	       run->emulation_failure.insn_size;
}

/* The length of the int3 that it failed on, as KVM tells it, or 0. */
static size_t told_int3_length(const struct kvm_run *run)
{
	size_t n = run->emulation_failure.insn_size;

	if (n > sizeof(run->emulation_failure.insn_bytes))
		n = sizeof(run->emulation_failure.insn_bytes);
	return vp_int3_length(run->emulation_failure.insn_bytes, n);
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

void vp_regs_to_kvm(struct kvm_regs *to, const struct vp_regs *from)
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

bool vp_local_runs_nested(const struct vp_local_vcpu *v)
{
	/* A header, a VMCS or VMCB and a shadow of it; it must fit, or KVM tells nothing. */
	_Alignas(struct kvm_nested_state) uint8_t room[0x4000];
	struct kvm_nested_state *state = (struct kvm_nested_state *)(void *)room;

	if (atomic_load(&v->alone))
		return false;
	*state = (struct kvm_nested_state){ .size = sizeof(room) };
	if (ioctl(v->fd, KVM_GET_NESTED_STATE, state) < 0)
		return errno == E2BIG; /* a KVM that has more to tell: no plain guest */
	return state->flags & KVM_STATE_NESTED_GUEST_MODE;
}

static int read_phys(void *target, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	return vp_local_op_read(target, gpa, buf, len, err);
}

/* Both KVM routes report RIP at the int3 itself. */
static int read_trap(struct vp_local_vcpu *v, struct vp_trap *trap)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	int rc = vp_local_exit_regs(v, &regs, &sregs);

	if (rc)
		return rc;
	*trap = (struct vp_trap){
		.vcpu = v->id,
		.rip = VP_GVA(regs.rip),
		.paging = { sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer },
		.code64 = sregs.efer & VP_EFER_LMA && sregs.cs.l,
		.nested = vp_local_runs_nested(v),
	};
	vp_regs_from_kvm(&trap->regs, &regs);
	return 0;
}

/* For a KVM that does not tell the bytes (before Linux 5.14): is it an int3 that stands there now?
 */
static size_t standing_int3_length(struct vp_local_vcpu *v)
{
	struct vp_phys_reader mem = { read_phys, &v->l->target };
	uint8_t bytes[VP_INSN_MAX];
	struct vp_trap trap = { 0 };
	struct vp_map map;
	size_t n;

	if (read_trap(v, &trap) || !trap.code64 || trap.nested ||
	    vp_walk(&trap.paging, &mem, trap.rip, &map, NULL))
		return 0;
	n = 0x1000 - (map.gpa.v & 0xfff);
	if (n > sizeof(bytes))
		n = sizeof(bytes);
	return read_phys(&v->l->target, map.gpa, bytes, n, NULL) ? 0 : vp_int3_length(bytes, n);
}

/* The length of the int3 that KVM failed to emulate; 0: it is another instruction. */
static size_t failed_int3_length(struct vp_local_vcpu *v)
{
	return has_bytes(v->run) ? told_int3_length(v->run) : standing_int3_length(v);
}

static int resume_at(struct vp_local_vcpu *v, const struct vp_regs *now)
{
	struct kvm_regs regs;

	vp_regs_to_kvm(&regs, now);
	return ioctl(v->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

/*
 * Change the pending exception and nothing else: without a flag KVM leaves alone what came or went
 * since it was read, such as an NMI that waits, and the state of SMM (KVM api.rst, 4.32). What it
 * takes without a flag only this thread can change.
 */
static int set_exception(struct vp_local_vcpu *v, struct kvm_vcpu_events *events, uint8_t nr,
			 bool injected)
{
	events->flags = 0;
	events->exception.nr = nr;
	events->exception.injected = injected;
	events->exception.pending = 0;
	events->exception.has_error_code = 0;
	events->exception.error_code = 0;
	return ioctl(v->fd, KVM_SET_VCPU_EVENTS, events) < 0 ? -errno : 0;
}

/* KVM queues a #UD when it cannot emulate an instruction. The guest must not see it. */
static int drop_ud(struct vp_local_vcpu *v)
{
	struct kvm_vcpu_events events;

	int rc = vp_local_exit_events(v, &events);

	if (rc)
		return rc;
	if (events.exception.nr != UD_VECTOR ||
	    !(events.exception.injected || events.exception.pending))
		return 0;
	return set_exception(v, &events, 0, false);
}

/*
 * Give the guest the #BP that it would have had (S6), with RIP after the int3. After a
 * KVM_EXIT_DEBUG KVM itself moves RIP by the length of the instruction that it
 * intercepted when it injects a soft exception (VMX: VM-entry instruction length; SVM:
 * nRIP), so RIP stays. Where the emulator failed, nobody knows the length: RIP is moved here.
 * In L2 KVM gives it to L1 if that one intercepts #BP (since Linux 6.1), or else to L2.
 */
static int reinject(struct vp_local_vcpu *v, struct vp_regs *regs)
{
	struct kvm_vcpu_events events;
	int rc;

	if (v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
		regs->rip += v->failed_int3;
		rc = resume_at(v, regs);
		if (rc)
			return rc;
	}
	rc = vp_local_exit_events(v, &events);
	if (rc)
		return rc;
	return set_exception(v, &events, BP_VECTOR, true);
}

/* Until the next unpark() after @seen were counted, or until the VMM wants the thread. */
static void park(struct vp_local_vcpu *v, uint64_t seen)
{
	struct vp_local *l = v->l;

	atomic_store(&v->mode, VP_MODE_PARK);
	vp_local_notify(l);
	for (;;) {
		uint32_t changes = atomic_load(&l->changes);

		if (atomic_load(&l->unparks) != seen || atomic_load(&v->interrupt))
			return;
		vp_local_sleep(v, &l->changes, changes, VP_LOOK_US);
	}
}

/*
 * Does it stand at a breakpoint of local_break.c now? The same instruction at another address is
 * held, too: it would have no int3 of the guest's.
 */
static bool comes_to_break(struct vp_local_vcpu *v, const struct vp_trap *trap)
{
	struct vp_local *l = v->l;
	const struct vp_phys_reader mem = { read_phys, &l->target };
	struct vp_map map;

	if (!atomic_load(&l->nbreaks) || !trap->code64 || trap->nested ||
	    vp_walk(&trap->paging, &mem, trap->rip, &map, NULL))
		return false;
	for (size_t i = 0; i < VP_BREAKS_MAX; i++) {
		uint64_t addr = atomic_load(&l->breaks[i].addr);

		if (!addr || atomic_load(&l->breaks[i].gpa) != map.gpa.v)
			continue;
		atomic_store(&v->stands, addr == trap->rip.v ? VP_STANDS_AT : VP_STANDS_ALIAS);
		return true;
	}
	return false;
}

/* --- what the exit is -------------------------------------------------------- */

enum exit_kind {
	EXIT_OTHER,
	EXIT_BP,      /* a #BP exit by this host's route, or by KVM_EXIT_DEBUG whatever that is */
	EXIT_FAILED,  /* route DEBUG: KVM failed to emulate an instruction that an int3 lies on */
	EXIT_PERHAPS, /* or that one lay on: it does not say, and one of ours may have gone since */
};

static enum exit_kind classify(struct vp_local_vcpu *v)
{
	const struct kvm_run *run = v->run;

	if (run->exit_reason == KVM_EXIT_DEBUG)
		return run->debug.arch.exception == BP_VECTOR ? EXIT_BP : EXIT_OTHER;
	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR ||
	    run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || v->l->route == VP_ROUTE_NONE)
		return EXIT_OTHER;
	v->failed_int3 = failed_int3_length(v);
	if (v->failed_int3)
		return v->l->route == VP_ROUTE_DEBUG ? EXIT_FAILED : EXIT_BP;
	return !has_bytes(run) && atomic_load(&v->armed) ? EXIT_PERHAPS : EXIT_OTHER;
}

/* A KVM that emulates everything would fail on the same instruction for ever: then it is the VMM's.
 */
#define FAILURES_MAX 16

/*
 * KVM reads an instruction again when it emulates one, for MMIO or a write to a shadowed page
 * table. Was an int3 laid on it meanwhile, it fails on that. If it is not ours (the guest's own
 * text_poke has laid it), or gone, let the CPU run what stands there: an int3 comes again as
 * KVM_EXIT_DEBUG. 1: the VMM must see it.
 */
static int run_again(struct vp_local_vcpu *v)
{
	struct kvm_regs regs;

	if (ioctl(v->fd, KVM_GET_REGS, &regs) < 0)
		return -errno;
	if (regs.rip != v->failed_rip)
		v->failures = 0;
	v->failed_rip = regs.rip;
	return ++v->failures > FAILURES_MAX ? 1 : drop_ud(v);
}

/* --- carrying it out ---------------------------------------------------------- */

/* 1: the VMM's own debugger wants to see each int3, and gives the guest what is not its own. */
static int give_back(struct vp_local_vcpu *v, enum exit_kind kind, struct vp_regs *regs)
{
	const uint32_t all_int3s = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;

	if (v->run->exit_reason == KVM_EXIT_DEBUG && (v->debug.control & all_int3s) == all_int3s)
		return 1;
	return kind == EXIT_FAILED ? run_again(v) : reinject(v, regs);
}

/*
 * An int3 of ours is ours by whichever exit it comes, every time. How one of the guest's own is
 * given back depends on the exit.
 */
static int carry_out(struct vp_local_vcpu *v, enum exit_kind kind)
{
	/* Sampled before the sink decides: see park() in core/trap.c. */
	uint64_t unparks = atomic_load(&v->l->unparks);
	const struct vp_trap_sink *sink = &v->l->target.sink;
	enum vp_verdict (*handle)(void *, struct vp_trap *);
	enum vp_verdict verdict = VP_VERDICT_FOREIGN;
	bool failed = v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR;
	struct vp_regs before;
	struct vp_trap trap = { .code64 = false };
	int rc = read_trap(v, &trap);

	if (rc)
		return rc;
	if (comes_to_break(v, &trap))
		return failed ? drop_ud(v) : 0;
	before = trap.regs;
	/* Acquire: pairs with the engine's release store, so arg is there. */
	handle = __atomic_load_n(&sink->handle, __ATOMIC_ACQUIRE);
	if (handle)
		verdict = handle(sink->arg, &trap);
	if (verdict == VP_VERDICT_FOREIGN)
		return give_back(v, kind, &trap.regs);
	rc = failed ? drop_ud(v) : 0;
	if (!rc && verdict == VP_VERDICT_PARK)
		park(v, unparks);
	/* RIP is at the int3 already: write the registers only if the sink changed them. */
	else if (!rc && memcmp(&before, &trap.regs, sizeof(before)))
		rc = resume_at(v, &trap.regs);
	return rc;
}

int vp_local_trap(struct vp_local_vcpu *v, struct vp_err *err)
{
	enum exit_kind kind = classify(v);
	int rc;

	if (kind != EXIT_FAILED && kind != EXIT_PERHAPS)
		v->failures = 0;
	if (kind == EXIT_OTHER)
		return 1;
	atomic_fetch_add(&v->traps, 1);
	atomic_store(&v->mode, VP_MODE_TRAP);
	vp_local_notify(v->l); /* out of the guest is an answer, too */
	rc = kind == EXIT_PERHAPS ? run_again(v) : carry_out(v, kind);
	if (rc < 0)
		return vp_err_set(err, -EIO, "vCPU %u: a #BP exit could not be carried out (%d)",
				  v->id, rc);
	return rc;
}
