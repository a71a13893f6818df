/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poke engine: replace instructions of a running guest.
 *
 * A batch is any number of sites, applied together. All checks are made before
 * any write. See docs/protocol.md for the protocol and its obligations S1-S10.
 *
 * Threads: one engine may be used by many threads at once, beside everything that the target's
 * header allows. Who comes while a batch is in flight waits for it (for the target's lock), unless
 * the function says something else. Only vp_engine_free() must be alone. Callbacks (those of
 * vp_poke_opts, and of vp_engine_records()) are called with that lock held: in one, the engine may
 * not be called (-EDEADLK), but for vp_engine_stats(), vp_engine_thaw() and what takes no engine.
 * Nothing here may be called from a signal handler.
 *
 * Who keeps the record: the engine's own (vp_engine_records()) is in memory and goes with it. The
 * ledger, the file that `vmpoke status`, `revert` and `recover` go by, is neither read nor written
 * here: vmpoke's own commands do that, in `vmpoke run`, too. So they know nothing of what your
 * program does by these functions. Where they can reach the same VM (one of QEMU or libvirt), your
 * bytes are somebody else's to them: a poke over them is refused, `vmpoke verify` names them, and
 * you alone can take them back. Change a VM by the one or the other, not by both. For a record of
 * your own:
 *
 *	vp_poke_opts.permit	write down what you are about to do, on disk; refuse if you cannot.
 *				All checks have passed, and not one byte is written so far
 *	after vp_poke()		result.id is not 0: it stands, by that number, whatever was
 *				returned. Else the old bytes stand; but after -EUCLEAN, or if your
 *				process dies in between, half of it may stand: vp_poke_undo() needs
 *				the sites and words that you have written down
 *	after vp_revert()	it is taken back if vp_engine_records() has it no more
 *
 * docs/ledger.md is how vmpoke does it.
 */
#ifndef VMPOKE_POKE_H
#define VMPOKE_POKE_H

#include <vmpoke/target.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vp_engine;

/* What a vCPU does that runs into the int3 while a batch is in flight. */
enum vp_resume {
	VP_RESUME_PARK,	   /* wait for the new instruction, then run it: always right */
	VP_RESUME_EMULATE, /* do the new nop/jmp/call/ret/jcc/mov-imm on the registers */
	VP_RESUME_FIXUP,   /* go on at vp_site.fixup */
};

/* One instruction to replace. */
struct vp_site {
	vp_gva addr;
	uint8_t len;			/* of both old and new, 1..VP_INSN_MAX */
	uint8_t old_bytes[VP_INSN_MAX]; /* what must stand there now: one whole instruction */
	uint8_t new_bytes[VP_INSN_MAX]; /* one whole instruction of the same length */
	enum vp_resume resume;
	vp_gva fixup; /* for VP_RESUME_FIXUP: executable guest text, outside every site */
};

/*
 * One naturally aligned 32-bit integer of the guest's data that goes with a batch: the count of a
 * static key (S7), the flags of an ftrace record. It is compared, and stored atomically, when every
 * head is capped (int3) or every vCPU held (stop).
 *
 * Where both values are the same it is a condition: only compared, at the same moment. That a lock
 * of the guest is free, say. A batch whose condition does not hold is -EAGAIN, with nothing
 * changed: let the guest run, and try again.
 */
struct vp_word {
	vp_gva addr;
	uint32_t old_value, new_value;
};

/* Is it only compared, and not written? */
static inline bool vp_word_is_condition(const struct vp_word *w)
{
	return w->old_value == w->new_value;
}

/* The word that takes another one back; a condition stays what it is. */
static inline struct vp_word vp_word_inverse(const struct vp_word *w)
{
	struct vp_word back = *w;

	back.old_value = w->new_value;
	back.new_value = w->old_value;
	return back;
}

/* The site that puts the old bytes back, with rule park. */
struct vp_site vp_site_inverse(const struct vp_site *site);

enum vp_strategy {
	VP_STRATEGY_INT3, /* int3 / tail / head; the guest keeps running */
	VP_STRATEGY_STOP, /* stop every vCPU, write, resume (S9) */
};

/* The steps of a batch, as told to a phase callback, in this order. */
enum vp_phase {
	VP_PHASE_PLANNED,     /* all checks passed; nothing written yet */
	VP_PHASE_CAPPED,      /* int3 on every head, sync 1 done */
	VP_PHASE_TAILED,      /* new tails, sync 2 done (or not needed) */
	VP_PHASE_APPLIED,     /* new heads, sync 3 done, table retired */
	VP_PHASE_ROLLED_BACK, /* the old bytes stand again; the batch failed */
};

struct vp_poke_opts {
	enum vp_strategy strategy;
	bool dry_run;		       /* make every check, write nothing */
	int vcpu;		       /* whose page tables translate; < 0: any in 64-bit mode */
	const struct vp_paging *space; /* translate by these instead of a vCPU's; may be NULL */
	/*
	 * What changes with the sites and is taken back with them, and the conditions of both
	 * ways. Copied; no two of them at one place. With VP_STRATEGY_INT3 one of them may change,
	 * and any number be conditions. vp_revert() takes those of the record instead.
	 */
	const struct vp_word *words;
	size_t nwords;
	unsigned int timeout_ms; /* how long a vCPU may take to answer; 0: VP_TIMEOUT_MS */
	int64_t when;		 /* kept in the record: seconds since 1970 */
	const char *note;	 /* kept in the record, at most 63 bytes; may be NULL */
	/*
	 * Asked when all checks have passed, before the first write, on the calling thread; not
	 * for a dry run. Non-zero refuses the batch, with that error. The place to write down what
	 * is to be done: see the top. May be NULL.
	 */
	int (*permit)(void *arg, struct vp_err *err);
	/*
	 * For VP_STRATEGY_STOP alone (else -EINVAL): asked in the stop itself, when every vCPU is
	 * held and all else was found as it must be, right before the first write; not for a dry
	 * run. What it reads of the guest's memory and of held vCPUs is how the guest is when the
	 * batch is written. Non-zero refuses the batch, with that error, and the guest goes on as
	 * it was. It is a part of the pause. May be NULL.
	 */
	int (*inspect)(void *arg, struct vp_err *err);
	void (*phase)(void *arg, enum vp_phase phase); /* on the calling thread; may be NULL */
	void *phase_arg;			       /* of all four */
	/*
	 * vp_revert() alone: is what the record has at this address, a site or a word, still there
	 * to be taken back? What is not (its module was unloaded, say) is passed over. Called with
	 * the target's lock held, more than once an address; it must say the same each time. NULL:
	 * all of it is.
	 */
	bool (*is_left)(void *arg, vp_gva addr);
};

/* What a NULL @opts stands for: int3, any vCPU. struct vp_poke_opts opts = VP_POKE_OPTS_INIT; */
#ifdef __cplusplus
static inline vp_poke_opts vp_poke_opts_init()
{
	vp_poke_opts opts = vp_poke_opts();

	opts.vcpu = -1;
	return opts;
}
#define VP_POKE_OPTS_INIT vp_poke_opts_init()
#else
#define VP_POKE_OPTS_INIT  \
	{                  \
		.vcpu = -1 \
	}
#endif

struct vp_poke_result {
	uint64_t id;	    /* names the batch for vp_revert(); 0 after a dry run */
	size_t sites;	    /* sites checked or written */
	unsigned int syncs; /* rounds of "every vCPU has serialized" that it took */
	ptrdiff_t bad_site; /* on error: index of the site at fault, or -1 */
	ptrdiff_t
		bad_word; /* the same of words; with -EAGAIN it did not hold, and may do so later */
};

/* What the engine has counted since it was made. */
struct vp_poke_stats {
	uint64_t batches; /* applied, reverts included */
	uint64_t sites;	  /* written by those */
	uint64_t syncs;
	uint64_t rollbacks;
	struct {
		uint64_t fixup, emulate, park, late, foreign;
	} bp_exits;
};

/* An applied batch. Pointers are valid during the callback only. */
struct vp_record {
	uint64_t id;
	enum vp_strategy strategy;
	int64_t when;
	const char *note;
	const struct vp_site *sites; /* as applied, sorted by address */
	size_t nsites;
	const struct vp_word *words; /* as given */
	size_t nwords;
};

/*
 * Make an engine for @target (borrowed; must outlive the engine) and register its
 * trap sink. One engine a target. -ENOMEM, -EBUSY (the target has one already).
 */
int vp_engine_new(struct vp_target *target, struct vp_engine **out, struct vp_err *err);

/*
 * Free the engine. The patches stay in the guest. What an unfinished batch left is taken back
 * first, parked vCPUs go on. NULL is fine. vCPUs may run meanwhile; but nobody may be in another
 * function of this engine, or call one afterwards.
 *
 *  -EBUSY  a vCPU does not answer, or pages are being logged: an int3 of ours still stands, so the
 *          engine is not freed, and goes on guarding it; try again. Or this is called from a
 *          callback
 */
int vp_engine_free(struct vp_engine *engine);

/*
 * Before the guest's memory is saved (vmpoke/local.h, "Saving the guest"): when this returns 0, no
 * int3 of ours stands in it, no vCPU is parked, and every poke and revert is refused (-EBUSY) until
 * vp_engine_thaw(). Waits for a batch in flight. Counted: each freeze needs its thaw, by any
 * thread.
 * @timeout_ms as in vp_poke_opts.
 *  -EBUSY  an earlier batch still waits for a vCPU: nothing is frozen; try again
 */
int vp_engine_freeze(struct vp_engine *engine, unsigned int timeout_ms, struct vp_err *err);

/* Take a freeze back. Waits for nobody; one too many does nothing. */
void vp_engine_thaw(struct vp_engine *engine);

/*
 * Apply a batch. @sites is copied. @result may be NULL.
 *
 * On error not one byte of the guest differs from before, and @err says which site and why:
 *  -EINVAL     a site is malformed: length, bytes that do not decode to exactly one
 *              instruction each, overlap, a fixup outside text, a rule that cannot emulate
 *  -EFAULT     an address that is not mapped, or not executable, or not RAM
 *  -EROFS      a site or word in memory that must not be written (a read-only memslot)
 *  -ESTALE     other bytes stand there than old_bytes
 *  -EBUSY      a foreign int3 stands there; pages are being logged; frozen; an unfinished batch
 *  -EAGAIN     the guest changed the bytes while we did, or a condition does not hold: rolled back
 *  -ETIMEDOUT  a vCPU did not answer in time: rolled back
 *  -EUCLEAN    a write to a stopped guest failed, and so did taking it back: half a batch may
 *              stand there, and the guest is left stopped; vp_poke_undo() puts it right
 *  -EIO        the exception: the guest overwrote a site of ours in the very last step; the other
 *              sites are applied and recorded
 *  -EOPNOTSUPP no vCPU in 64-bit mode with paging; no trap route (use VP_STRATEGY_STOP)
 *  -ENOMEM
 */
int vp_poke(struct vp_engine *engine, const struct vp_site *sites, size_t nsites,
	    const struct vp_poke_opts *opts, struct vp_poke_result *result, struct vp_err *err);

/*
 * Put right what a process left behind that died in the middle of a batch of strategy stop: where
 * @sites stand half old, half new, put the old bytes back, and the old words. Every vCPU is stopped
 * meanwhile, as it was then. Conditions are not looked at.
 *  -ESTALE  some byte is neither of the old nor of the new: nothing is written
 *  others as vp_poke()
 */
int vp_poke_undo(struct vp_engine *engine, const struct vp_site *sites, size_t nsites,
		 const struct vp_poke_opts *opts, struct vp_err *err);

/*
 * Take back an applied batch: put its old bytes back, by the same protocol with
 * resume rule park. @id 0: the newest. Sites that the guest took over in the last step, and what
 * opts->is_left() says no to, are passed over; if no site is left but a word, that is put back,
 * with VP_STRATEGY_STOP alone. Errors as vp_poke(), and
 *
 *  -ENOENT  no such batch is applied
 *  -EBUSY   a newer batch touches the same bytes: revert that one first
 *  -ESTALE  somebody else changed the bytes meanwhile
 */
int vp_revert(struct vp_engine *engine, uint64_t id, const struct vp_poke_opts *opts,
	      struct vp_poke_result *result, struct vp_err *err);

/*
 * A batch that a vCPU did not answer keeps its sites guarded until that vCPU does. Every call above
 * finishes it first; a VMM also calls this now and then. 0: nothing is left. -EBUSY: still waiting,
 * or bytes would have to be put back while pages are being logged.
 */
int vp_engine_settle(struct vp_engine *engine, unsigned int timeout_ms, struct vp_err *err);

/*
 * Call @fn for each applied batch, oldest first, until it returns non-zero; return that. No batch
 * begins meanwhile. A negative value may also be the target's: it cannot be locked.
 */
int vp_engine_records(struct vp_engine *engine, int (*fn)(void *arg, const struct vp_record *rec),
		      void *arg);

/* Copy the counters. Waits for nobody, also in a callback. */
void vp_engine_stats(struct vp_engine *engine, struct vp_poke_stats *out);

/*
 * Read @len bytes of guest memory at a guest-virtual address as vCPU @vcpu sees it
 * (< 0: any). All or nothing: -EFAULT if a byte is unmapped. Waits for a batch in flight.
 */
int vp_engine_read(struct vp_engine *engine, int vcpu, vp_gva addr, void *buf, size_t len,
		   struct vp_err *err);

/* Is @addr mapped such that code may run there, as vCPU @vcpu sees it (< 0: any)? As the target's
 * operations. Waits for a batch in flight. */
int vp_engine_is_code(struct vp_engine *engine, int vcpu, vp_gva addr, bool *code,
		      struct vp_err *err);

/* Names for people and JSON: "int3", "stop"; "park", ...; "capped", ... Any thread, any time. */
const char *vp_strategy_name(enum vp_strategy s);
const char *vp_resume_name(enum vp_resume r);
const char *vp_phase_name(enum vp_phase p);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_POKE_H */
