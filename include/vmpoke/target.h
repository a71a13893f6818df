/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target is a running guest behind one table of operations. The poke engine
 * knows nothing else of the guest, and the target knows nothing of the engine
 * but the trap sink that the engine registers with it.
 */
#ifndef VMPOKE_TARGET_H
#define VMPOKE_TARGET_H

#include <vmpoke/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vp_target;

#define VP_TIMEOUT_MS 5000u /* where the caller says 0, or nothing */

/* What a vCPU does next after a #BP exit. See docs/protocol.md, "The trap decision". */
enum vp_verdict {
	VP_VERDICT_RESUME,  /* go on with trap->regs, which the sink may have changed */
	VP_VERDICT_PARK,    /* wait for the next unpark(), then run again at trap->rip */
	VP_VERDICT_FOREIGN, /* not ours: give the guest its #BP */
};

/* One #BP exit, seen on the vCPU's own thread. */
struct vp_trap {
	unsigned int vcpu;
	vp_gva rip;		 /* the address of the int3 itself, not of the byte after it */
	struct vp_paging paging; /* of this vCPU, now */
	bool code64;		 /* it runs 64-bit code (CS.L), not compatibility mode */
	bool nested;		 /* all this is of a guest that the guest runs itself (L2) */
	struct vp_regs regs;	 /* in and out; regs.rip equals rip on entry */
};

/*
 * Who is asked about a #BP exit: the engine. Called on vCPU threads, several at
 * once, never with the target's lock held. Must not block.
 */
struct vp_trap_sink {
	enum vp_verdict (*handle)(void *arg, struct vp_trap *trap);
	void *arg;
};

/*
 * Breakpoints in the guest's kernel text, for calls of its functions from outside. All of these
 * are locked, and called between stop() and resume(), where every vCPU is held. A vCPU's registers
 * are what hold() tells.
 */
struct vp_break_ops {
	/*
	 * A vCPU that is about to execute the instruction at @addr stops there. At most
	 * VP_BREAKS_MAX at a time (-ENOSPC). -EBUSY: the VM must not be changed now (a migration).
	 * What is set is gone after resume(). A target may put off what it takes until set_regs(),
	 * wait() or leave(), which then say -EOPNOTSUPP if it cannot be done, having done nothing.
	 */
	int (*set)(struct vp_target *t, vp_gva addr, struct vp_err *err);
	int (*clear)(struct vp_target *t, vp_gva addr, struct vp_err *err);

	/*
	 * Let the guest run until some vCPU stands at a breakpoint; all are held again then, and
	 * several may stand at one. 0 also if somebody else has stopped the guest meanwhile: look
	 * where they are. No vCPU may stand at a breakpoint when this is called: it would not get
	 * past it.
	 *  -ETIMEDOUT  none has come there within @timeout_ms, as far as can be told; all are held
	 *  -EAGAIN     somebody else has let them go on before; all are held again
	 *  -EBUSY      the guest stands by somebody else's doing, and must not be let go on
	 */
	int (*wait)(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);

	/*
	 * Give a vCPU other general registers, RIP and RFLAGS; the rest of its state stays.
	 * -EAGAIN: somebody has let the vCPUs go on; nothing was done, and all are held again.
	 */
	int (*set_regs)(struct vp_target *t, int vcpu, const struct vp_regs *regs,
			struct vp_err *err);

	/*
	 * Keep @len bytes, at most VP_KEPT_MAX, in place of those that are kept, where they outlive
	 * this process; they are gone with resume(). kept(): those that are kept, or that a process
	 * has left which was killed; *@len is 0 if there are none. -EBADMSG: they make no sense.
	 */
	int (*keep)(struct vp_target *t, const void *data, size_t len, struct vp_err *err);
	int (*kept)(struct vp_target *t, void *data, size_t size, size_t *len, struct vp_err *err);

	/*
	 * In the place of resume(): the guest is to run, but what is set and kept stays. Whoever
	 * comes next is told that it needs recovery, as after a process that was killed.
	 */
	void (*leave)(struct vp_target *t);

	/*
	 * The page tables that translate what set() is given, until resume(); if this is not
	 * called, those of any vCPU. NULL: this target translates nothing.
	 */
	void (*space)(struct vp_target *t, const struct vp_paging *space);
};

#define VP_BREAKS_MAX 4u /* what a CPU has in debug registers */
#define VP_KEPT_MAX   256u

/* What sync() makes sure of. docs/serialization.md. */
enum vp_sync {
	VP_SYNC_CORE, /* what the CPU itself fetches from now on is fetched anew */
	VP_SYNC_EXIT, /* ... and nobody is in the middle of fetching an instruction to emulate it */
};

/* One of many pieces of guest RAM that are read or written in one go. */
struct vp_piece {
	vp_gpa gpa;
	void *into;	  /* read_pieces() puts it here */
	const void *from; /* write_pieces() takes it from here */
	size_t len;
};

/* How long every vCPU was held by us, since the target was opened. */
struct vp_pauses {
	unsigned int n;
	unsigned int longest_us;
};

/*
 * The operations. All return 0 or -errno and then fill @err (may be NULL).
 *
 * "Locked" operations are called between lock() and unlock(), by one thread.
 */
struct vp_target_ops {
	const char *name; /* "local", "fake", ... */

	/*
	 * The lock over both guest text and vCPU topology (S10): while it is held no
	 * vCPU appears or vanishes and no other batch runs. -EDEADLK: this thread has it.
	 */
	int (*lock)(struct vp_target *t, struct vp_err *err);
	void (*unlock)(struct vp_target *t);

	/*
	 * Read and write guest RAM at a guest-physical address. -EFAULT if any byte lies outside
	 * RAM, -EROFS if it must not be written, -EBUSY if its page is being logged (then nothing
	 * is written; so for every swap below). read() may be called at any time, from any thread,
	 * and each byte is read with acquire order; write() is locked, except that the trap sink
	 * writes the stack of the vCPU it was called for. Bytes are copied one by one.
	 */
	int (*read)(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);
	int (*write)(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		     struct vp_err *err);

	/*
	 * read() and write() of @n pieces, for targets where each call is dear; the latter between
	 * stop() and resume() only. After an error all that is known is that no other memory was
	 * written to. NULL: they are read and written one by one.
	 */
	int (*read_pieces)(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			   struct vp_err *err);
	int (*write_pieces)(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			    struct vp_err *err);

	/*
	 * stop(), and read_pieces() before anything else, where that can be done in one, so that
	 * the guest stands for less. *@read: all of @pieces were read; else none. NULL: never.
	 */
	int (*stop_reading)(struct vp_target *t, unsigned int timeout_ms,
			    const struct vp_piece *pieces, size_t n, bool *read,
			    struct vp_err *err);

	/*
	 * Locked, between stop() and resume(). The RIP of each vCPU, whatever mode it is in, where
	 * those are told sooner than by hold(): up to *@n, which gets how many there are.
	 * -EOPNOTSUPP: not so, or there are more. NULL: never.
	 */
	int (*rips)(struct vp_target *t, uint64_t *rips, size_t *n);

	/*
	 * Locked. Store the single byte @value atomically if @expect stands there,
	 * with release order; -EAGAIN if another byte stands there.
	 */
	int (*swap_head)(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			 struct vp_err *err);

	/*
	 * Locked. The same for @len bytes at once, 1..VP_INSN_MAX: nobody sees only some of them
	 * changed. -EOPNOTSUPP: not in one go where they lie. NULL: never.
	 */
	int (*swap_bytes)(struct vp_target *t, vp_gpa gpa, const uint8_t *expect,
			  const uint8_t *value, size_t len, struct vp_err *err);

	/* Locked. The same for the four bytes at @gpa, a multiple of 4, as one guest integer. */
	int (*swap_word)(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			 struct vp_err *err);

	/*
	 * Locked. May these bytes be written? The errors of write(), with nothing written. NULL:
	 * whatever is RAM may be.
	 */
	int (*check_write)(struct vp_target *t, vp_gpa gpa, size_t len, struct vp_err *err);

	/*
	 * Call @fn for each range of guest RAM, ascending, until it returns non-zero; return that.
	 * Any time, any thread.
	 */
	int (*ram)(struct vp_target *t, int (*fn)(void *arg, vp_gpa start, uint64_t len), void *arg,
		   struct vp_err *err);

	/*
	 * Locked. May guest text be written from outside now? -EBUSY while a memslot
	 * logs dirty pages (a migration runs) that our writes would not show up in.
	 */
	int (*writable)(struct vp_target *t, struct vp_err *err);

	/*
	 * Locked. Hold one vCPU out of the guest and tell its registers, so that the page tables
	 * it uses stay in use while they are walked; release() lets it go on. @vcpu < 0: any vCPU
	 * that runs in 64-bit mode with paging, and no guest of its own (-EOPNOTSUPP: none;
	 * -EAGAIN: none just now). -ENOENT: no such vCPU; -ERANGE:
	 * nor one with a higher number, so that all are seen by asking from 0 upwards. Numbers are
	 * below VP_VCPU_NUMBERS.
	 * A target that can only be patched while it is stopped need not hold the vCPU before:
	 * the engine looks again, at everything, between stop() and resume().
	 */
	int (*hold)(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err);
	void (*release)(struct vp_target *t);

	/*
	 * Locked. arm(): when it returns 0, no vCPU can execute an int3 without a #BP
	 * exit. disarm() may be lazy: an exit more than needed is harmless.
	 */
	int (*arm)(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
	void (*disarm)(struct vp_target *t);

	/*
	 * Locked. sync(): when it returns 0, every vCPU has executed a serializing
	 * instruction after the call began, or will before its next guest instruction. With
	 * VP_SYNC_EXIT each vCPU that was in the guest has also left it, and whoever emulates its
	 * instructions in software, since then. (One whole old instruction may still be completed
	 * by a vCPU that is out for it, as for MMIO.)
	 * -ETIMEDOUT: some vCPU did not answer within @timeout_ms.
	 */
	int (*sync)(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		    struct vp_err *err);

	/*
	 * Locked. quiesce(): when it returns 0, every call of the trap sink that had
	 * begun before quiesce() was called has returned and its verdict was carried out (S4).
	 */
	int (*quiesce)(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);

	/*
	 * Locked. Give every vCPU that may run some milliseconds in the guest. NULL: they run
	 * whenever nobody holds them.
	 */
	void (*let_run)(struct vp_target *t);

	/* Locked. Wake every parked vCPU; it runs again at the address where it trapped. */
	void (*unpark)(struct vp_target *t);

	/*
	 * Locked. stop(): hold every vCPU out of the guest, and out of trap handling, but for the
	 * wait of one that is parked.
	 * resume(): let them go on; each serializes first. A failed stop() holds nobody.
	 */
	int (*stop)(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
	void (*resume)(struct vp_target *t);

	/*
	 * Locked, between stop() and resume(); may be NULL. -EAGAIN: somebody else has let the
	 * vCPUs go on meanwhile; they are held again now.
	 */
	int (*held)(struct vp_target *t, struct vp_err *err);

	/*
	 * Locked, in the place of resume(): a write failed and could not be taken back, so half an
	 * instruction may stand in the guest. Leave every vCPU held, as far as that is in the
	 * target's power, and see to it that whoever comes next is told.
	 */
	void (*abandon)(struct vp_target *t);

	const struct vp_break_ops *breaks; /* NULL: this target has none */

	/* What is known of that; NULL: nothing. Not between stop() and resume(). */
	void (*pauses)(struct vp_target *t, struct vp_pauses *out);
};

/* Targets embed this as their first member. */
struct vp_target {
	const struct vp_target_ops *ops;
	struct vp_trap_sink sink; /* set by the engine, `handle` last and atomically */
	bool kernel_traps_only;	  /* set by the target: an int3 at CPL 3 makes no #BP exit here */
	const char *serializer;	  /* set by the target: how sync() is done: "kick", ... */
	const char *no_int3; /* set by the target: why strategy int3 cannot work; NULL: it can */
};

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_TARGET_H */
