/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of a few sites and vCPUs, and the real engine on top of it. Its coroutines are the engine
 * and each vCPU's trap handler.
 */
#ifndef VP_EXPLORE_ENGINE_WORLD_H
#define VP_EXPLORE_ENGINE_WORLD_H

#include "../search.h"
#include "core/internal.h"

#define MAX_VCPUS    3
#define MAX_SITES    2
#define MAX_LEN	     5
#define MAX_VARIANTS 4
#define MAX_ACTIONS  4
#define ENGINE	     0 /* the coroutine of the engine; vCPU n has 1 + n */
_Static_assert(1 + MAX_VCPUS <= COROUTINES, "each has its coroutine");

/* --- what a scenario says ---------------------------------------------------- */

/* One instruction in up to four versions: [0] stands at first, [3] is what the guest makes of it.
 */
struct variants {
	uint8_t len;
	uint8_t bytes[MAX_VARIANTS][MAX_LEN];
};

enum action_kind { ACT_END, ACT_POKE, ACT_REVERT, ACT_SETTLE };

struct action {
	enum action_kind kind;
	uint8_t to; /* variant */
	enum vp_resume rule;
	bool before; /* done when the search begins: no schedules of it */
};

struct scenario {
	const char *name, *what;
	bool quick;
	const struct variants *insn;
	uint8_t vcpus, sites;
	bool split;	  /* site 0 lies on two pages */
	bool whole;	  /* the target swaps a whole instruction at once, unless it is split */
	uint8_t traps;	  /* how often each vCPU may run into a site's int3 */
	uint8_t foreign;  /* how often each vCPU may run into the guest's own int3 */
	uint8_t timeouts; /* how many waits for a vCPU may time out */
	uint8_t patches;  /* how often the guest changes a site by its own text_poke */
	bool word;	  /* the batches change the guest's count, too */
	uint8_t counts;	  /* how often the guest changes that itself */
	bool condition;	  /* the batches want a lock of the guest to be free */
	uint8_t locks;	  /* how often the guest takes it */
	bool unmaps;	  /* the guest may unmap the page, once a site is capped */
	uint8_t joins;	  /* how often a vCPU appears; the last one is absent at first */
	uint8_t leaves;	  /* how often the last vCPU vanishes */
	struct action script[MAX_ACTIONS + 1];
};

extern const struct scenario scenarios[];
extern const struct scenario *sc; /* the one being explored */

/* --- the state --------------------------------------------------------------- */

enum mode {
	ABSENT,
	JOINING, /* only with BREAK_TOPOLOGY */
	GUEST,
	TRAPPED, /* left the guest by #BP; its handler may start any time later */
	HANDLER, /* in vp_trap_handle() */
	VERDICT, /* about to carry out a verdict and enter the guest */
	PARKED,
};

#define AT_FOREIGN MAX_SITES /* vcpu.at: the guest's own int3 */

struct vcpu {
	uint8_t mode;
	uint8_t at; /* where it trapped: a site or AT_FOREIGN */
	uint8_t traps_left, foreign_left;
	bool armed;	   /* its int3 leaves the guest */
	bool behind;	   /* a sync was asked for since it last serialized */
	bool woken;	   /* there was an unpark() since its trap began to be handled */
	bool must_leave;   /* quiesce() waits for it */
	bool began_undone; /* its handler began after the batch was being taken back */
	bool guests;	   /* the guest's own int3 stood there when it trapped, or was looked at */
	bool not_ours;	   /* ... and none of ours had ever stood there */
	uint8_t stage;	   /* of the handler: steps made so far */
	/* Every value that each byte had since it last serialized: bits of value_id(). */
	uint8_t may[MAX_SITES][MAX_LEN];
	const struct vp_batch *table; /* that its handler decided by */
};

/* The guest's own text_poke: what it has written last. It goes on when every vCPU has answered. */
enum poke_step { POKE_NONE, POKE_INT3, POKE_TAIL, POKE_HEAD, POKE_DONE };

enum wait { WAIT_NONE, WAIT_SYNC, WAIT_QUIESCE };

struct world {
	struct vp_target target;
	struct vp_engine *engine;
	uint8_t text[MAX_SITES][MAX_LEN]; /* the bytes of the sites */
	struct vcpu vcpu[MAX_VCPUS];
	/* the target */
	bool locked, want_armed, timed_out;
	uint8_t wait; /* enum wait: what the engine waits for */
	uint8_t timeouts_left, patches_left, counts_left, locks_left, joins_left, leaves_left;
	uint8_t count; /* the word: the variant that stands; the guest adds COUNTED */
	bool lock;     /* the guest holds it */
	bool unmapped; /* the page of the sites */
	bool was_free; /* the engine has seen it free since all heads were capped */
	/* the script, and what may be run now */
	bool before, done, in_call;
	bool patched; /* by the guest, ever, or it has begun to */
	bool unseen;  /* it wrote tail or head since the engine looked, or was to look */
	uint8_t poke_site, poke_step; /* of its text_poke: enum poke_step */
	uint8_t ever_capped;	      /* bits of sites: by the engine */
	uint8_t poke_answered;	      /* bits of vCPUs */
	bool given_up;	 /* a wait timed out before a new head stood: it must be taken back */
	bool undone;	 /* the engine has begun to take the batch back */
	bool reached;	 /* a new head was written */
	bool ran_new;	 /* somebody has run the new code of the batch in flight */
	uint8_t action;	 /* index into the script */
	uint8_t to;	 /* the variant that the call is to bring */
	uint8_t pending; /* the variant that an unfinished batch was to bring */
	uint8_t stands[MAX_SITES]; /* the variant that stood there before the call */
	uint8_t legal[MAX_SITES];  /* bits of variants that may be run */
};

extern struct world w;

/* Obligations of a target that can be broken on purpose (mutants). */
enum broken {
	BREAK_TOPOLOGY = 1, /* a vCPU appears while the lock is held */
	BREAK_ARM = 2,	    /* arm() does not wait */
	BREAK_ENTRY = 4,    /* a vCPU enters the guest without serializing */
	BREAK_SAMPLE = 8,   /* the unpark count is sampled after the sink has decided */
	BREAK_QUIESCE = 16, /* quiesce() does not wait */
};
extern unsigned int broken;

#define COUNTED 0x10u

/* --- text.c: guest memory ---------------------------------------------------- */

enum { ID_INT3 = MAX_VARIANTS, ID_OTHER };

#define WORD_GVA VP_GVA(0xffffffff80000040)
bool text_is_word(vp_gpa gpa);
#define LOCK_GVA VP_GVA(0xffffffff80000060)
bool text_is_lock(vp_gpa gpa);
vp_gva site_gva(unsigned int site);
vp_gva fixup_gva(unsigned int variant);
#define FOREIGN_GVA VP_GVA(0xffffffff80000800ull)

extern const struct vp_paging guest_paging;
void text_init(void);
bool text_read(vp_gpa gpa, void *buf, size_t len);
bool text_find(vp_gpa gpa, unsigned int *site, unsigned int *pos);
void text_store(unsigned int site, unsigned int pos, uint8_t value);
uint8_t value_id(unsigned int pos, uint8_t value);
uint8_t variants_with(unsigned int pos, unsigned int id); /* bits of variants */
int variant_standing(unsigned int site);		  /* a whole one, or -1 */

/* --- patch.c: the guest's own text_poke ---------------------------------------- */

unsigned int patch_choices(struct choice *to);
unsigned int patch_answer_choice(unsigned int i, struct choice *to);
bool patch_is_at(unsigned int site); /* it is, or was, at work there */
bool patch_int3_stands(unsigned int site);
bool patch_may_go_on(void);
void patch_answer(unsigned int i); /* vCPU @i takes its interrupt, if there is one */
void patch_step(const struct choice *c);

/* --- target.c, vcpu.c, script.c ---------------------------------------------- */

extern const struct vp_target_ops explore_ops;
bool wait_is_over(void);

void vcpu_serialize(struct vcpu *v);
void vcpu_serve(struct vcpu *v);
bool vcpu_present(const struct vcpu *v);
bool vcpu_in_trap(const struct vcpu *v);

/* struct choice: `who` is a coroutine; `arg` of PATCH and TRAP is a site. */
enum what {
	GO,
	TIME_OUT,
	SERVE,
	FOREIGN,
	BEGIN,
	HANDLE,
	ENTER,
	JOIN,
	LEAVE,
	PATCH,
	ANSWER,
	PROCEED,
	COUNT,
	LOCK,
	UNMAP,
	TRAP
};
unsigned int vcpu_choices(unsigned int i, struct choice *to);
void vcpu_step(unsigned int i, const struct choice *c);

/* --- check.c ----------------------------------------------------------------- */

void check_state(void);
void check_return(int rc);
void check_done(void);
void check_verdict(unsigned int i, const struct vp_trap *trap, enum vp_verdict verdict);

#endif /* VP_EXPLORE_ENGINE_WORLD_H */
