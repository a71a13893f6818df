/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands on hotfixes share. */
#ifndef VP_CONTROL_HOTFIX_H
#define VP_CONTROL_HOTFIX_H

#include "base/sha256.h"
#include "control/hotfix_file.h"
#include "control/internal.h"
#include "control/operation.h"
#include "hotfix/found.h"
#include "hotfix/fit.h"
#include "hotfix/place.h"

/* --- hotfix.c: the object that a client sends ------------------------------------ */

struct vp_hotfix_opened {
	struct vp_elf_object *elf;
	struct vp_hotfix_object *object;
	struct vp_hotfix_fit *fit; /* NULL: not asked, or it does not fit */
	struct vp_blockers blockers;
	uint8_t *bytes;			/* read once: what is checked is what is used */
	size_t len;			/* without a signature at its end */
	uint8_t digest[VP_SHA256_SIZE]; /* of these */
	struct vp_signer signer;
	bool livepatch; /* it is a livepatch module */
};

/* The kernel that the object is for, where it must be known to read the object. */
struct vp_hotfix_opened_for {
	int (*linux_of)(void *arg, struct vp_linux **out, struct vp_err *err);
	void *arg;
};

/*
 * Take what was sent, hold it against the keyrings, see what it says of itself; in that order. It
 * is an object of ours or a livepatch module, which is made into one. Close it in any case.
 *  -EKEYREJECTED  it is not signed as the keyrings want it (@keyrings NULL: nobody asks)
 *  -ENOEXEC       it is neither, too large, or its signature has no place in it
 *  -EINVAL        it is no hexadecimal
 * With @refusal, the first is no error: it gets the reason then, or "".
 */
int vp_hotfix_opened_read(struct vp_hotfix_opened *o, const struct vp_hotfix_sent *sent,
			  const struct vp_keyrings *keyrings,
			  const struct vp_hotfix_opened_for *kernel, struct vp_err *refusal,
			  struct vp_err *err);

/* The same for the guest of @c. */
int vp_hotfix_opened_read_for(struct vp_hotfix_opened *o, const struct vp_hotfix_sent *sent,
			      const struct vp_keyrings *keyrings, struct vp_control *c,
			      struct vp_err *refusal, struct vp_err *err);
void vp_hotfix_opened_close(struct vp_hotfix_opened *o);

/* Over which of the hotfixes that were found another may come; to be freed with free(list). */
int vp_hotfix_known(const struct vp_hotfix_found *found, size_t n, struct vp_linux_ranges *out,
		    struct vp_err *err);

/* Who signed, for the ledger; NULL: nobody asked. */
json_t *vp_hotfix_signer_json(const struct vp_hotfix_opened *o);

/* As hotfix-check answers. o->blockers tells why it does not fit, where o->fit is NULL. */
json_t *vp_hotfix_texts_json(const struct vp_blockers *texts);
json_t *vp_hotfix_fit_json(const struct vp_hotfix_opened *o);

/* --- hotfix_guest.c: what is done in the guest -------------------------------------- */

/* One command on its way. */
struct vp_hotfix_job {
	struct vp_control *c;
	const struct vp_write_args *w;
	struct vp_linux *l;
	struct vp_target *t;
	struct vp_call_site site;
	struct vp_arena_recipe recipe;
	struct vp_hotfix_found *found;
	size_t nfound;
	struct vp_operation op;
	int64_t begun_ms;
	unsigned int calls; /* made in the guest so far */
};

/* Look at the guest: whether it can be done there, and which hotfixes it has. End it in any case.
 */
int vp_hotfix_job_begin(struct vp_hotfix_job *job, struct vp_control *c, struct vp_err *err);
void vp_hotfix_job_end(struct vp_hotfix_job *job);

/* Tell whoever listens what is done now, or waited for. */
void vp_hotfix_job_tell(struct vp_hotfix_job *job, const char *step);

/* The target's lock, to write the guest without a batch. -EBUSY: it is being saved. */
int vp_hotfix_job_lock(struct vp_hotfix_job *job, struct vp_err *err);

int vp_hotfix_job_alloc(struct vp_hotfix_job *job, const uint64_t size[VP_ARENA_KINDS],
			struct vp_arena *out, struct vp_err *err);
int vp_hotfix_job_free(struct vp_hotfix_job *job, struct vp_arena *arena, struct vp_err *err);

/*
 * Have functions of the guest called, one after the other. -ECANCELED: one has not returned 0, and
 * the others were not called; which and what it said is in @err.
 */
int vp_hotfix_job_call(struct vp_hotfix_job *job, const vp_gva *fns, size_t n, struct vp_err *err);

/* What it took, for the answer: "wall-ms", "calls", "pauses", ... */
void vp_hotfix_job_report(const struct vp_hotfix_job *job, json_t *answer);

/* Are these VP_HOTFIX_JMP_LEN bytes one nop? */
#define VP_HOTFIX_JMP_LEN 5u
bool vp_hotfix_is_nop(const uint8_t *bytes, vp_gva at);

/* --- hotfix_switch.c: all entries at one moment --------------------------------------- */

/* How to wait for the moment at which nobody is inside. */
enum vp_hotfix_patience {
	VP_HOTFIX_ANY,	/* any moment is right; who is inside is only noted */
	VP_HOTFIX_ONCE, /* refuse if somebody is inside now */
	VP_HOTFIX_WAIT, /* wait, wait_ms at the longest */
};

#define VP_HOTFIX_WAIT_MS 30000u

struct vp_hotfix_switch {
	const char *command; /* "hotfix-apply", "hotfix-remove" */
	struct vp_site *sites;
	size_t n;
	struct vp_linux_range *ranges; /* where nobody is to be; none: nobody looks */
	size_t nranges;
	enum vp_hotfix_patience patience;
	unsigned int wait_ms;
	bool force;
	uint64_t takes_back;
	const json_t *more;
	/* out */
	bool idle;	      /* nobody was inside when it was done */
	struct vp_err who;    /* else who was; or why that cannot be told */
	struct vp_err forced; /* what was passed over */
	unsigned int tries;
};

/* As vp_control_apply(); -EAGAIN: the moment did not come, and nothing was changed. */
json_t *vp_hotfix_switch(struct vp_hotfix_job *job, struct vp_hotfix_switch *s, int *code,
			 struct vp_err *err);

/*
 * Is nobody inside, now that nothing leads there any more? Waits up to @wait_ms. -EBUSY: somebody
 * is, @err says who.
 */
int vp_hotfix_wait_idle(struct vp_hotfix_job *job, const struct vp_linux_range *ranges, size_t n,
			unsigned int wait_ms, struct vp_err *err);

/*
 * Free the memory of a hotfix that nothing leads to, as an operation of its own; *@bytes (may be
 * NULL) grows by that. -EAGAIN: somebody is inside.
 */
int vp_hotfix_job_sweep(struct vp_hotfix_job *job, const struct vp_hotfix_found *f,
			unsigned int wait_ms, uint64_t *bytes, struct vp_err *err);

#endif /* VP_CONTROL_HOTFIX_H */
