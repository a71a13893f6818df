/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's life, its public calls, and the records of what was applied. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

const char *vp_strategy_name(enum vp_strategy s)
{
	return s == VP_STRATEGY_STOP ? "stop" : "int3";
}

const char *vp_resume_name(enum vp_resume r)
{
	switch (r) {
	case VP_RESUME_EMULATE:
		return "emulate";
	case VP_RESUME_FIXUP:
		return "fixup";
	case VP_RESUME_PARK:
		break;
	}
	return "park";
}

const char *vp_phase_name(enum vp_phase p)
{
	static const char *const names[] = {
		[VP_PHASE_PLANNED] = "planned",		[VP_PHASE_CAPPED] = "capped",
		[VP_PHASE_TAILED] = "tailed",		[VP_PHASE_APPLIED] = "applied",
		[VP_PHASE_ROLLED_BACK] = "rolled-back",
	};

	return (size_t)p < sizeof(names) / sizeof(names[0]) ? names[p] : "none";
}

/* --- life -------------------------------------------------------------------- */

/* Release: pairs with the acquire load of the target, on a vCPU thread. */
static void sink_set(struct vp_target *target, struct vp_engine *e)
{
	target->sink.arg = e;
	__atomic_store_n(&target->sink.handle, vp_trap_handle, __ATOMIC_RELEASE);
}

int vp_engine_new(struct vp_target *target, struct vp_engine **out, struct vp_err *err)
{
	struct vp_engine *e = calloc(1, sizeof(*e));
	int rc;

	if (!e)
		return vp_err_set(err, -ENOMEM, "no memory for a poke engine");
	e->target = target;
	e->next_id = 1;
	rc = target->ops->lock(target, err);
	if (!rc) {
		if (target->sink.handle)
			rc = vp_err_set(err, -EBUSY, "target %s has a poke engine already",
					target->ops->name);
		else
			sink_set(target, e);
		target->ops->unlock(target);
	}
	if (rc) {
		free(e);
		return rc;
	}
	*out = e;
	return 0;
}

/* Nothing of ours is left in the guest, and nobody asks us any more. The lock is held. */
static int leave_target(struct vp_engine *e)
{
	struct vp_target *t = e->target;
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	int rc = vp_batch_settle(e, VP_TIMEOUT_MS, &res, NULL);

	/* Who met an int3 of ours, and has yet to say so, still has to be told that it is gone. */
	if (!rc && !t->no_int3)
		rc = t->ops->sync(t, VP_SYNC_EXIT, VP_TIMEOUT_MS, NULL);
	if (!rc)
		rc = t->ops->quiesce(t, VP_TIMEOUT_MS, NULL);
	if (rc)
		return rc;
	/* A handler that was called before quiesce() still finds its engine. */
	__atomic_store_n(&t->sink.handle, NULL, __ATOMIC_RELEASE);
	t->ops->unpark(t);
	rc = t->ops->quiesce(t, VP_TIMEOUT_MS, NULL);
	if (rc)
		sink_set(t, e);
	return rc;
}

int vp_engine_free(struct vp_engine *e)
{
	struct vp_target *t;
	int rc;

	if (!e)
		return 0;
	t = e->target;
	rc = t->ops->lock(t, NULL);
	if (!rc) {
		rc = leave_target(e);
		t->ops->unlock(t);
	} else if (rc != -EDEADLK && !atomic_load(&e->unfinished)) {
		rc = 0; /* a target that is gone has nobody who would ask */
	}
	if (rc)
		return -EBUSY;
	for (size_t i = 0; i < e->napplied; i++)
		vp_batch_free(e->applied[i]);
	vp_retired_free(e);
	free(e->applied);
	free(e);
	return 0;
}

int vp_engine_freeze(struct vp_engine *e, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	int rc = e->target->ops->lock(e->target, err);

	if (rc)
		return rc;
	rc = vp_batch_settle(e, timeout_ms ? timeout_ms : VP_TIMEOUT_MS, &res, err);
	if (!rc)
		atomic_fetch_add(&e->frozen, 1);
	e->target->ops->unlock(e->target);
	return rc;
}

void vp_engine_thaw(struct vp_engine *e)
{
	unsigned int n = atomic_load(&e->frozen);

	/* One too many must not freeze it for ever. */
	while (n && !atomic_compare_exchange_weak(&e->frozen, &n, n - 1))
		;
}

/* --- records (under the target's lock) --------------------------------------- */

/* Room for one more record, before anything is written: an applied batch is never forgotten. */
static int records_reserve(struct vp_engine *e, struct vp_err *err)
{
	size_t room = e->applied_room ? 2 * e->applied_room : 16;
	struct vp_batch **p;

	if (e->napplied < e->applied_room)
		return 0;
	p = reallocarray(e->applied, room, sizeof(*p));
	if (!p)
		return vp_err_set(err, -ENOMEM, "no memory to record the batch");
	e->applied = p;
	e->applied_room = room;
	return 0;
}

static void records_add(struct vp_engine *e, struct vp_batch *b)
{
	b->rec.id = e->next_id++;
	e->applied[e->napplied++] = b;
}

static void records_remove(struct vp_engine *e, size_t at)
{
	vp_batch_retire(e, e->applied[at]);
	e->napplied--;
	memmove(&e->applied[at], &e->applied[at + 1], (e->napplied - at) * sizeof(e->applied[0]));
}

/* Which record is to be reverted, and may it be? */
static int records_find(struct vp_engine *e, uint64_t id, size_t *at, struct vp_err *err)
{
	size_t i = e->napplied;

	if (!i)
		return vp_err_set(err, -ENOENT, "nothing is applied: there is nothing to revert");
	if (!id)
		id = e->applied[i - 1]->rec.id;
	while (i-- && e->applied[i]->rec.id != id)
		;
	if (i == SIZE_MAX)
		return vp_err_set(err, -ENOENT, "no batch %llu is applied; see `status`",
				  (unsigned long long)id);
	for (size_t j = e->napplied - 1; j > i; j--)
		if (vp_runs_meet(e->applied[i], e->applied[j]))
			return vp_err_set(err, -EBUSY,
					  "batch %llu touches the same bytes and is newer: revert "
					  "that one first",
					  (unsigned long long)e->applied[j]->rec.id);
	*at = i;
	return 0;
}

/* --- the public calls -------------------------------------------------------- */

static int write_batch(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		       struct vp_poke_result *res, bool *applied, struct vp_err *err)
{
	uint64_t syncs = atomic_load(&e->stats.syncs);
	size_t n = b->n;
	int rc;

	*applied = false;
	rc = opts->inspect && opts->strategy != VP_STRATEGY_STOP
		     ? vp_err_set(err, -EINVAL,
				  "only strategy stop can look at the guest (inspect)")
		     : 0;
	if (!rc && opts->permit)
		rc = opts->permit(opts->phase_arg, err);
	if (rc) {
		vp_batch_free(b);
		return rc;
	}
	if (opts->phase)
		opts->phase(opts->phase_arg, VP_PHASE_PLANNED);
	if (opts->strategy == VP_STRATEGY_STOP)
		rc = vp_batch_stop(e, b, opts, res, applied, err);
	else
		rc = vp_batch_int3(e, b, opts, res, applied, err);
	res->syncs = (unsigned int)(atomic_load(&e->stats.syncs) - syncs);
	if (*applied) {
		atomic_fetch_add_explicit(&e->stats.batches, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&e->stats.sites, n, memory_order_relaxed);
	}
	return rc;
}

int vp_engine_may_write(struct vp_engine *e, struct vp_err *err)
{
	if (atomic_load(&e->frozen))
		return vp_err_set(err, -EBUSY,
				  "the guest is being saved (a snapshot or a migration): try again "
				  "when that is over");
	return e->target->ops->writable(e->target, err);
}

/* What both directions begin with. The caller holds the lock. */
static int may_write(struct vp_engine *e, const struct vp_poke_opts *opts,
		     struct vp_poke_result *res, struct vp_err *err)
{
	int rc = vp_batch_settle(e, opts->timeout_ms, res, err);

	if (!rc)
		rc = vp_engine_may_write(e, err);
	return rc ? rc : records_reserve(e, err);
}

static struct vp_poke_opts with_defaults(const struct vp_poke_opts *opts)
{
	struct vp_poke_opts o = opts ? *opts : (struct vp_poke_opts)VP_POKE_OPTS_INIT;

	if (!o.timeout_ms)
		o.timeout_ms = VP_TIMEOUT_MS;
	return o;
}

static int poke_locked(struct vp_engine *e, const struct vp_site *sites, size_t n,
		       const struct vp_poke_opts *opts, struct vp_poke_result *res,
		       struct vp_err *err)
{
	struct vp_batch *b;
	bool applied;
	int rc = may_write(e, opts, res, err);

	if (rc)
		return rc;
	rc = vp_plan_make(e, sites, n, opts, false, res, &b, err);
	if (rc)
		return rc;
	res->sites = n;
	if (opts->dry_run) {
		vp_batch_free(b);
		return 0;
	}
	b->recorded = true;
	rc = write_batch(e, b, opts, res, &applied, err);
	if (applied) {
		records_add(e, b);
		res->id = b->rec.id;
	}
	return rc;
}

int vp_poke(struct vp_engine *e, const struct vp_site *sites, size_t nsites,
	    const struct vp_poke_opts *opts, struct vp_poke_result *result, struct vp_err *err)
{
	struct vp_poke_opts o = with_defaults(opts);
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	int rc = e->target->ops->lock(e->target, err);

	if (rc)
		return rc;
	rc = poke_locked(e, sites, nsites, &o, &res, err);
	e->target->ops->unlock(e->target);
	if (result)
		*result = res;
	return rc;
}

int vp_poke_undo(struct vp_engine *e, const struct vp_site *sites, size_t nsites,
		 const struct vp_poke_opts *opts, struct vp_err *err)
{
	struct vp_poke_opts o = with_defaults(opts);
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	struct vp_batch *b = NULL;
	int rc = e->target->ops->lock(e->target, err);

	if (rc)
		return rc;
	o.strategy = VP_STRATEGY_STOP;
	rc = may_write(e, &o, &res, err);
	if (!rc)
		rc = vp_plan_make(e, sites, nsites, &o, true, &res, &b, err);
	if (!rc)
		rc = vp_batch_undo(e, b, o.timeout_ms, err);
	vp_batch_free(b);
	e->target->ops->unlock(e->target);
	return rc;
}

struct vp_site vp_site_inverse(const struct vp_site *s)
{
	struct vp_site back = { .addr = s->addr, .len = s->len, .resume = VP_RESUME_PARK };

	memcpy(back.old_bytes, s->new_bytes, VP_INSN_MAX);
	memcpy(back.new_bytes, s->old_bytes, VP_INSN_MAX);
	return back;
}

static bool is_left(const struct vp_poke_opts *o, vp_gva addr)
{
	return !o->is_left || o->is_left(o->phase_arg, addr);
}

/* The sites that put the old bytes of @was back, but for those that the guest has taken over. */
static struct vp_site *inverse(const struct vp_batch *was, const struct vp_poke_opts *o, size_t *n)
{
	struct vp_site *sites = calloc(was->n + 1, sizeof(*sites));

	*n = 0;
	for (size_t i = 0; sites && i < was->n; i++) {
		if (was->slots[i].lost || !is_left(o, was->slots[i].site.addr))
			continue;
		sites[(*n)++] = vp_site_inverse(&was->slots[i].site);
	}
	return sites;
}

/* Both are sorted by address: the sites must be where they were when they were applied. */
static int check_same_place(const struct vp_batch *was, const struct vp_batch *now,
			    const struct vp_poke_opts *o, struct vp_poke_result *res,
			    struct vp_err *err)
{
	size_t j = 0;

	for (size_t i = 0; i < was->n; i++) {
		const struct vp_slot *a = &was->slots[i], *b;

		if (a->lost || !is_left(o, a->site.addr))
			continue;
		b = &now->slots[j++];
		if (a->head.v == b->head.v && a->next.v == b->next.v)
			continue;
		res->bad_site = (ptrdiff_t)b->index;
		return vp_err_set(err, -ESTALE,
				  "site %zu at 0x%llx: the guest maps another page there now; "
				  "revert through the address space it was applied in",
				  b->index, (unsigned long long)b->site.addr.v);
	}
	return 0;
}

/* What the words of @was were, with those that changed turned round. NULL: no memory. */
static struct vp_word *inverse_words(const struct vp_batch *was, const struct vp_poke_opts *o,
				     size_t *n)
{
	struct vp_word *words = calloc(was->rec.nwords + 1, sizeof(*words));

	*n = 0;
	for (size_t i = 0; words && i < was->rec.nwords; i++)
		if (is_left(o, was->rec.words[i].addr))
			words[(*n)++] = vp_word_inverse(&was->rec.words[i]);
	return words;
}

/* Plan the revert of @was. 1: nothing of it is left to be taken back. */
static int plan_revert(struct vp_engine *e, const struct vp_batch *was,
		       const struct vp_poke_opts *opts, struct vp_poke_result *res,
		       struct vp_batch **out, struct vp_err *err)
{
	struct vp_poke_opts o = *opts;
	size_t n;
	struct vp_word *words = inverse_words(was, opts, &o.nwords);
	struct vp_site *sites = inverse(was, opts, &n);
	int rc = 1;

	o.words = words;
	if (!sites || !words)
		rc = vp_err_set(err, -ENOMEM, "no memory to revert %zu sites", was->n);
	else if (n || vp_words_change(words, o.nwords))
		rc = vp_plan_make(e, sites, n, &o, false, res, out, err);
	free(sites);
	free(words);
	if (rc)
		return rc;
	res->sites = n;
	rc = check_same_place(was, *out, opts, res, err);
	if (rc)
		vp_batch_free(*out);
	return rc;
}

static int revert_locked(struct vp_engine *e, uint64_t id, const struct vp_poke_opts *opts,
			 struct vp_poke_result *res, struct vp_err *err)
{
	struct vp_batch *b;
	bool applied = false;
	size_t at = 0;
	int rc = may_write(e, opts, res, err);

	if (!rc)
		rc = records_find(e, id, &at, err);
	if (rc)
		return rc;
	res->id = e->applied[at]->rec.id;
	rc = plan_revert(e, e->applied[at], opts, res, &b, err);
	if (rc < 0)
		return rc;
	if (opts->dry_run) {
		if (!rc)
			vp_batch_free(b);
		return 0;
	}
	rc = rc ? 0 : write_batch(e, b, opts, res, &applied, err);
	if (!rc || applied)
		records_remove(e, at);
	return rc;
}

int vp_revert(struct vp_engine *e, uint64_t id, const struct vp_poke_opts *opts,
	      struct vp_poke_result *result, struct vp_err *err)
{
	struct vp_poke_opts o = with_defaults(opts);
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	int rc = e->target->ops->lock(e->target, err);

	if (rc)
		return rc;
	rc = revert_locked(e, id, &o, &res, err);
	e->target->ops->unlock(e->target);
	if (result)
		*result = res;
	return rc;
}

int vp_engine_settle(struct vp_engine *e, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	int rc;

	if (!atomic_load(&e->unfinished)) /* the usual case: do not wait for a batch in flight */
		return 0;
	rc = e->target->ops->lock(e->target, err);
	if (rc)
		return rc;
	rc = vp_batch_settle(e, timeout_ms, &res, err);
	e->target->ops->unlock(e->target);
	return rc;
}

int vp_engine_records(struct vp_engine *e, int (*fn)(void *arg, const struct vp_record *rec),
		      void *arg)
{
	int rc = e->target->ops->lock(e->target, NULL);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < e->napplied; i++)
		rc = fn(arg, &e->applied[i]->rec);
	e->target->ops->unlock(e->target);
	return rc;
}

void vp_engine_stats(struct vp_engine *e, struct vp_poke_stats *out)
{
#define GET(field) atomic_load_explicit(&e->stats.field, memory_order_relaxed)
	*out = (struct vp_poke_stats){
		.batches = GET(batches),
		.sites = GET(sites),
		.syncs = GET(syncs),
		.rollbacks = GET(rollbacks),
		.bp_exits = { GET(fixup), GET(emulate), GET(park), GET(late), GET(foreign) },
	};
#undef GET
}

static int read_pages(struct vp_engine *e, const struct vp_paging *paging, vp_gva addr, void *buf,
		      size_t len, struct vp_err *err)
{
	struct vp_phys_reader mem = vp_target_reader(e->target);
	uint8_t *out = buf;

	while (len) {
		size_t n = 0x1000 - (addr.v & 0xfff);
		struct vp_map map;
		int rc = vp_walk(paging, &mem, addr, &map, err);

		if (n > len)
			n = len;
		if (!rc)
			rc = e->target->ops->read(e->target, map.gpa, out, n, err);
		if (rc)
			return rc;
		addr.v += n;
		out += n;
		len -= n;
	}
	return 0;
}

static int is_code(struct vp_engine *e, const struct vp_paging *paging, vp_gva addr, bool *code,
		   struct vp_err *err)
{
	struct vp_phys_reader mem = vp_target_reader(e->target);
	struct vp_map map;
	int rc = vp_walk(paging, &mem, addr, &map, err);

	*code = !rc && !map.nx;
	return rc == -EFAULT ? 0 : rc;
}

static void release_space(struct vp_engine *e)
{
	e->target->ops->release(e->target);
	e->target->ops->unlock(e->target);
}

/* What a look at memory by address needs: a vCPU that is held, and its page tables. */
static int hold_space(struct vp_engine *e, int vcpu, struct vp_vcpu_state *state,
		      struct vp_err *err)
{
	int rc = e->target->ops->lock(e->target, err);

	if (rc)
		return rc;
	rc = e->target->ops->hold(e->target, vcpu, state, err);
	if (rc) {
		e->target->ops->unlock(e->target);
		return rc;
	}
	rc = vp_space_check(state, err);
	if (rc)
		release_space(e);
	return rc;
}

int vp_engine_read(struct vp_engine *e, int vcpu, vp_gva addr, void *buf, size_t len,
		   struct vp_err *err)
{
	struct vp_vcpu_state state;
	int rc = hold_space(e, vcpu, &state, err);

	if (rc)
		return rc;
	rc = read_pages(e, &state.paging, addr, buf, len, err);
	release_space(e);
	return rc;
}

int vp_engine_is_code(struct vp_engine *e, int vcpu, vp_gva addr, bool *code, struct vp_err *err)
{
	struct vp_vcpu_state state;
	int rc = hold_space(e, vcpu, &state, err);

	*code = false;
	if (rc)
		return rc;
	rc = is_code(e, &state.paging, addr, code, err);
	release_space(e);
	return rc;
}
