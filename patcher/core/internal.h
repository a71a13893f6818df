/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the poke engine: the batch, the engine, and who calls whom. */
#ifndef VP_CORE_INTERNAL_H
#define VP_CORE_INTERNAL_H

#include <stdatomic.h>

#include <vmpoke/poke.h>

#include "x86/decode.h"
#include "x86/tables.h"

/* Can an int3 on a head be ours? Trap handlers ask. */
enum vp_claim {
	VP_CLAIM_NONE,	 /* no: it was not capped yet, or could not be */
	VP_CLAIM_TRYING, /* it is being capped just now */
	VP_CLAIM_OURS,	 /* yes, and it stays so to the end of the batch */
};

/* One site of a batch: checked, decoded, translated. */
struct vp_slot {
	struct vp_site site;
	struct vp_insn new_insn;
	size_t index;		   /* of the site in the caller's array, for messages */
	vp_gpa head;		   /* where the first byte is */
	vp_gpa next;		   /* where the first byte on the second page is, if split < len */
	uint8_t split;		   /* how many bytes lie on the first page */
	_Atomic uint8_t claim;	   /* enum vp_claim */
	bool capped;		   /* our int3 stands on the head */
	bool tailed;		   /* the new tail was written */
	bool torn;		   /* ... or some bytes of it: the write failed */
	bool lost;		   /* somebody else changed the bytes while we did: hands off */
	bool doubt;		   /* capped, but is it ours? See vp_slot_cap() */
	uint8_t seen[VP_INSN_MAX]; /* what stood there then */
};

/* A run of guest-physical bytes of one slot; a slot on two pages has two. */
struct vp_run {
	uint64_t start;
	const struct vp_slot *slot;
	uint8_t len;
	bool head; /* it begins with the slot's first byte */
};

/* ahead.c: memory that is about to be looked at, fetched in one go. */
enum vp_when {
	VP_IN_PLAN = 1,
	VP_IN_STOP = 2,
	VP_IN_BOTH = 3,
};

struct vp_want {
	vp_gpa gpa;
	uint8_t len, bytes[VP_INSN_MAX + 1];
	enum vp_when when; /* it is looked at */
	bool here;	   /* fetched with the others */
};

struct vp_ahead {
	struct vp_want *wants; /* sorted by address once they were fetched */
	size_t n, room;
	bool fetched;
};

/*
 * A batch in flight; once published it is the trap table. Of what handlers look at, only
 * `undoing`, `open`, `awake` and the slots' `claim` change then; handlers change nothing.
 */
struct vp_batch {
	struct vp_batch *next_retired;
	struct vp_run *runs; /* the bytes of all slots, sorted by start; they do not overlap */
	size_t nruns;
	_Atomic bool undoing;	 /* being rolled back: the new code must not be seen any more */
	_Atomic bool open;	 /* every head is final: nobody needs to park any more */
	_Atomic bool awake;	 /* nobody parks for now: see settle_doubts() */
	struct vp_record rec;	 /* rec.sites, .words and .note are owned by the batch */
	vp_gpa *word_at;	 /* where rec.words are */
	struct vp_paging paging; /* what translated the addresses */
	enum vp_sync sync;	 /* what a sync has to make sure of */
	char note[64];
	struct vp_ahead ahead; /* what the plan has looked at */
	bool recorded;	       /* e->applied owns it (or will), not the table */
	bool reached_heads;    /* new heads were written: the way is forward only */
	size_t n;
	struct vp_slot slots[]; /* sorted by address */
};

struct vp_engine {
	struct vp_target *target;
	/*
	 * The trap table. Release store in table_publish(), after the batch is complete
	 * and before the first int3; its partner is the acquire load in vp_trap_handle().
	 */
	_Atomic(struct vp_batch *) table;

	/* The rest is protected by the target's lock. */
	struct vp_batch *retired; /* a list: unpublished, freed after the next quiescence */
	_Atomic(struct vp_batch *) unfinished; /* a vCPU did not answer; see vp_batch_settle() */
	_Atomic unsigned int frozen;	       /* > 0: no batch begins; raised under the lock */
	struct vp_batch **applied;	       /* oldest first */
	size_t napplied, applied_room;
	uint64_t next_id;

	/* Counters; any thread. */
	struct {
		_Atomic uint64_t batches, sites, syncs, rollbacks;
		_Atomic uint64_t fixup, emulate, park, late, foreign;
	} stats;
};

/*
 * plan.c: every check of a batch; writes nothing. On success *@out is a new batch. @half_done: new
 * bytes may stand among the old ones, as a writer leaves them that died.
 */
int vp_plan_make(struct vp_engine *e, const struct vp_site *sites, size_t n,
		 const struct vp_poke_opts *opts, bool half_done, struct vp_poke_result *res,
		 struct vp_batch **out, struct vp_err *err);
void vp_batch_free(struct vp_batch *b);

/*
 * ahead.c: what will be looked at, and when; fetch it; forget it, before anything is written and
 * before the guest runs again. Read what was fetched, or else the target (@a may be NULL). Without
 * ops->read_pieces nothing is ever fetched.
 */
void vp_ahead_want(struct vp_ahead *a, vp_gpa gpa, size_t len, enum vp_when when);
void vp_ahead_fetch(struct vp_ahead *a, struct vp_target *t, enum vp_when now);
int vp_ahead_stop(struct vp_ahead *a, struct vp_target *t, unsigned int timeout_ms,
		  struct vp_err *err); /* stop(), and fetch what is looked at then */
void vp_ahead_forget(struct vp_ahead *a);
int vp_ahead_read(const struct vp_ahead *a, struct vp_target *t, vp_gpa gpa, void *buf, size_t len,
		  struct vp_err *err);
void vp_ahead_free(struct vp_ahead *a);

/* place.c: where the sites are. A space keeps what it has walked, so it is for a moment only. */
struct vp_space {
	struct vp_target *target;
	enum vp_strategy strategy;
	struct vp_paging paging;
	struct vp_map last; /* the page of @at; page_size 0: none */
	vp_gva at;
	struct vp_ahead *ahead;	  /* the batch's */
	struct vp_tables *tables; /* while it is planned; or NULL */
	bool again;		  /* the entries that are read are wanted in the stop, too */
};

struct vp_phys_reader vp_target_reader(struct vp_target *t); /* walk.h's, over a target */
/* Are these registers those of the guest, and not of one that it runs itself? -EAGAIN. */
int vp_space_check(const struct vp_vcpu_state *state, struct vp_err *err);

/* How many bytes of an instruction at @gpa are on its page, at most. */
size_t vp_insn_room(vp_gpa gpa);

struct vp_space vp_space_of(struct vp_target *t, struct vp_batch *b);
int vp_space_read(const struct vp_space *sp, vp_gpa gpa, void *buf, size_t len,
		  struct vp_err *err); /* vp_ahead_read() */
int vp_space_walk(struct vp_space *sp, vp_gva addr, struct vp_map *out, struct vp_err *err);

/* Translate one address of executable text; @what: "site", "fixup of site". Or a whole slot. */
int vp_place_text(struct vp_space *sp, const struct vp_slot *s, const char *what, vp_gva addr,
		  vp_gpa *out, struct vp_err *err);
int vp_place_slot(struct vp_space *sp, struct vp_slot *s, struct vp_err *err);

/* Are they still where they were? -EAGAIN if not. For when every vCPU is stopped. */
int vp_place_recheck(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err);

/* slot.c: the bytes of a slot, which may lie on two pages that are not neighbours. */
void vp_slot_want(struct vp_ahead *a, const struct vp_slot *s);
int vp_slot_look(const struct vp_ahead *a, struct vp_target *t, const struct vp_slot *s,
		 uint8_t *buf, struct vp_err *err); /* vp_ahead_read() */
int vp_slot_read(struct vp_target *t, const struct vp_slot *s, uint8_t *buf, struct vp_err *err);
int vp_slot_write(struct vp_target *t, const struct vp_slot *s, const uint8_t *bytes,
		  struct vp_err *err);
size_t vp_slot_pieces(const struct vp_slot *s, const uint8_t *bytes,
		      struct vp_piece *to); /* 1 or 2, to be written */
int vp_slot_write_tail(struct vp_target *t, const struct vp_slot *s, const uint8_t *bytes,
		       struct vp_err *err);
int vp_slot_check_write(struct vp_target *t, const struct vp_slot *s, struct vp_err *err);
bool vp_slot_is_half_done(const struct vp_slot *s, const uint8_t *now);
bool vp_slot_has_tail(const struct vp_slot *s); /* do old and new differ after the head? */

/*
 * swap.c: cap, tail and head of a slot. -EAGAIN: other bytes stand there (after a cap it may be
 * capped all the same, in doubt, which vp_slot_decide() ends).
 */
int vp_slot_cap(struct vp_target *t, struct vp_slot *s);
int vp_slot_decide(struct vp_target *t, struct vp_slot *s);
int vp_slot_swap_tail(struct vp_target *t, const struct vp_slot *s, const uint8_t *from,
		      const uint8_t *to, struct vp_err *err);
int vp_slot_uncap(struct vp_target *t, const struct vp_slot *s, const uint8_t *bytes);

/* The slot that @addr is a byte of, or NULL. By address alone. */
const struct vp_slot *vp_batch_find(const struct vp_batch *b, vp_gva addr);

/* runs.c: where the bytes of a batch are. -ENOMEM. Sort the runs; the first pair that overlaps, or
 * NULL. */
int vp_runs_make(struct vp_batch *b, struct vp_err *err);
const struct vp_run *vp_runs_overlap(const struct vp_batch *b);

/* The slot whose first byte is at @gpa, or NULL. Any thread, once the batch is published. */
const struct vp_slot *vp_runs_find_head(const struct vp_batch *b, vp_gpa gpa);

/* Have two batches bytes in common? */
bool vp_runs_meet(const struct vp_batch *a, const struct vp_batch *b);

/*
 * poke.c: the int3 protocol. stop.c: the fallback (S9). They own the batch from here on; if
 * it is to be recorded, then the caller does so when *@applied comes back true (which an error may
 * do, too: the guest took one site in the last step).
 */
int vp_batch_int3(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		  struct vp_poke_result *res, bool *applied, struct vp_err *err);
int vp_batch_stop(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		  struct vp_poke_result *res, bool *applied, struct vp_err *err);

/* Put the old bytes and words back wherever the new ones stand. The batch stays the caller's. */
int vp_batch_undo(struct vp_engine *e, struct vp_batch *b, unsigned int timeout_ms,
		  struct vp_err *err);

/* words.c: the words of a batch. Copy them; check and translate them (plan.c's last step). */
bool vp_words_change(const struct vp_word *words, size_t n); /* any but conditions? */
int vp_words_copy(struct vp_batch *b, const struct vp_word *words, size_t n, struct vp_err *err);
int vp_words_plan(struct vp_space *sp, struct vp_batch *b, bool half_done,
		  struct vp_poke_result *res, struct vp_err *err);

/* Does each hold its old value? Store the new ones. -EAGAIN: another value stands there. */
int vp_words_check(struct vp_engine *e, const struct vp_batch *b, struct vp_poke_result *res,
		   struct vp_err *err);
/* Those that change, as pieces to be written: at most rec.nwords. */
size_t vp_words_pieces(const struct vp_batch *b, struct vp_piece *to);
int vp_words_swap(struct vp_engine *e, const struct vp_batch *b, struct vp_poke_result *res,
		  struct vp_err *err);

/* Put the old value back wherever the new one stands. */
int vp_words_undo(struct vp_engine *e, const struct vp_batch *b, struct vp_err *err);

/* Free a batch that was a trap table once: after the next quiescence. */
void vp_batch_retire(struct vp_engine *e, struct vp_batch *b);
void vp_retired_free(struct vp_engine *e); /* call after a quiescence */

/* Finish what an earlier batch had to leave because a vCPU did not answer. */
int vp_batch_settle(struct vp_engine *e, unsigned int timeout_ms, struct vp_poke_result *res,
		    struct vp_err *err);

/* trap.c: the sink of #BP exits. */
enum vp_verdict vp_trap_handle(void *engine, struct vp_trap *trap);

/*
 * With the target's lock, for what writes the guest without a batch (calls of its functions, their
 * memory): is it not being saved just now? -EBUSY.
 */
int vp_engine_may_write(struct vp_engine *e, struct vp_err *err);

#endif /* VP_CORE_INTERNAL_H */
