/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The explorer's target. It does what include/vmpoke/target.h promises and not more. Each
 * operation is a step of its own, and so is what the engine does between two of them.
 */
#include <errno.h>
#include <string.h>

#include "world.h"

static void pause_here(void)
{
	if (!w.before)
		coro_yield();
}

/* Between op_begin() and op_end() nobody else runs. */
static void op_begin(void)
{
	pause_here();
	if (w.given_up)
		w.undone = true;
}

static void op_end(void)
{
	pause_here();
}

static void must_be_locked(const char *op)
{
	if (!w.locked)
		violate("%s without the lock", op);
}

static int op_lock(struct vp_target *t, struct vp_err *err)
{
	(void)t;
	(void)err;
	op_begin();
	note("lock");
	if (w.locked)
		violate("the lock is taken twice");
	w.locked = true;
	return 0;
}

static void op_unlock(struct vp_target *t)
{
	(void)t;
	op_begin();
	note("unlock");
	must_be_locked("unlock");
	w.locked = false;
	op_end();
}

/* --- memory ------------------------------------------------------------------ */

/*
 * In a handler, these are steps: what comes before the page walk, the walk (page tables never
 * change here), the byte at the trap's address, what comes after it. That last one is not split:
 * the table, once loaded, is kept in memory (snapshot.c checks that), and its marks only go one
 * way.
 */
static bool handler_read(vp_gpa gpa, void *buf, size_t len)
{
	struct vcpu *v = &w.vcpu[coro_running() - 1];
	unsigned int site, pos;
	bool is_byte = len == 1;
	bool ok;

	if (is_byte || !v->stage++)
		coro_yield();
	ok = text_read(gpa, buf, len);
	if (is_byte && text_find(gpa, &site, &pos))
		v->guests = v->guests || patch_int3_stands(site);
	if (is_byte) {
		note("reads byte %02x", *(uint8_t *)buf);
		coro_yield();
	} else if (v->stage == 1) {
		note("walks the page tables");
	}
	return ok;
}

static bool all_capped(void)
{
	for (unsigned int s = 0; s < sc->sites; s++)
		if (w.text[s][0] != VP_INT3)
			return false;
	return true;
}

static int op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	unsigned int site, pos;
	bool ok;

	(void)t;
	if (coro_running() != ENGINE) {
		ok = handler_read(gpa, buf, len);
	} else {
		/* Only a guest that patches itself changes what the engine reads. */
		if (sc->patches && text_find(gpa, &site, &pos)) {
			op_begin();
			note("read site %u", site);
		}
		if (sc->condition && text_is_lock(gpa)) {
			op_begin();
			note("read the lock");
			w.was_free = !w.lock && all_capped();
		}
		ok = text_read(gpa, buf, len);
		if (text_find(VP_GPA(gpa.v + len - 1), &site, &pos) && pos == sc->insn->len - 1u &&
		    patch_is_at(site))
			w.unseen = false;
	}
	return ok ? 0 : vp_err_set(err, -EFAULT, "not RAM");
}

/* What a write of the engine says about where the batch is. */
static void store(unsigned int site, unsigned int pos, uint8_t value)
{
	uint8_t was = sc->insn->bytes[w.stands[site]][pos];
	uint8_t will = sc->insn->bytes[w.to][pos];

	/* An old byte is put back: from now on nobody may begin to do the new code. */
	if (value == was && was != will && w.text[site][pos] != value)
		w.undone = true;
	if (!pos && value != VP_INT3 && !w.undone) {
		w.reached = true;
		if (sc->condition && !w.was_free)
			violate("a new head, but the lock was not seen free behind capped heads");
	}
	if (!pos && value == VP_INT3)
		w.ever_capped |= (uint8_t)(1u << site);
	text_store(site, pos, value);
}

/*
 * Nothing can save a guest whose text_poke is at a site at the same time, in two cases, and so its
 * schedules end there. Our int3 goes while its own is under it, which bytes cannot show, and its
 * tail comes later. And where a target swaps single bytes only: it wrote between the engine's look
 * at the bytes and its write. (docs/protocol.md, "Giving up".)
 */
static void cut_if_blind(unsigned int site, bool blind, bool uncaps)
{
	if (!patch_is_at(site))
		return;
	if ((blind && w.unseen) || (uncaps && w.poke_step == POKE_INT3)) {
		note(", which nothing can save");
		core.cut = true;
	}
}

/*
 * All bytes in one step, though the target promises no order: until it serializes, a vCPU that was
 * there before may mix them anyhow, so a half-written state shows nothing more.
 */
static int op_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		    struct vp_err *err)
{
	const uint8_t *from = buf;

	(void)t;
	op_begin();
	must_be_locked("write");
	for (size_t i = 0; i < len; i++) {
		unsigned int site, pos;

		if (!text_find(VP_GPA(gpa.v + i), &site, &pos)) {
			violate("write outside every site");
			return vp_err_set(err, -EFAULT, "outside");
		}
		note("write site %u+%u = %02x", site, pos, from[i]);
		cut_if_blind(site, true, false);
		store(site, pos, from[i]);
	}
	op_end();
	return 0;
}

static int op_swap_head(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			struct vp_err *err)
{
	unsigned int site, pos;
	int rc = 0;

	(void)t;
	op_begin();
	must_be_locked("swap_head");
	if (!text_find(gpa, &site, &pos)) {
		violate("swap_head outside every site");
		return vp_err_set(err, -EFAULT, "outside");
	}
	note("head of site %u: %02x -> %02x", site, expect, value);
	if (w.text[site][pos] == expect) {
		cut_if_blind(site, value != VP_INT3, value != VP_INT3);
		store(site, pos, value);
	} else {
		note(", but %02x stands there", w.text[site][pos]);
		rc = vp_err_set(err, -EAGAIN, "changed");
	}
	op_end();
	return rc;
}

static int op_swap_bytes(struct vp_target *t, vp_gpa gpa, const uint8_t *expect,
			 const uint8_t *value, size_t len, struct vp_err *err)
{
	unsigned int site, pos;
	int rc = 0;

	(void)t;
	if (!sc->whole)
		return vp_err_set(err, -EOPNOTSUPP, "not at once");
	op_begin();
	must_be_locked("swap_bytes");
	if (!text_find(gpa, &site, &pos) || pos || len != sc->insn->len) {
		violate("swap_bytes of what is no site");
		return vp_err_set(err, -EFAULT, "outside");
	}
	note("site %u: %02x.. -> %02x..", site, expect[0], value[0]);
	if (!memcmp(w.text[site], expect, len)) {
		cut_if_blind(site, false, value[0] != VP_INT3);
		for (unsigned int p = 0; p < len; p++)
			if (expect[p] != value[p])
				store(site, p, value[p]);
	} else {
		note(", but other bytes stand there");
		rc = vp_err_set(err, -EAGAIN, "changed");
	}
	op_end();
	return rc;
}

static int op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			struct vp_err *err)
{
	int rc = 0;

	(void)t;
	op_begin();
	must_be_locked("swap_word");
	note("count: %u -> %u", expect, value);
	if (!text_is_word(gpa))
		violate("swap_word outside the word");
	if (w.count == expect) {
		w.count = (uint8_t)value;
	} else {
		note(", but it is %u", w.count);
		rc = vp_err_set(err, -EAGAIN, "changed");
	}
	op_end();
	return rc;
}

static int op_writable(struct vp_target *t, struct vp_err *err)
{
	(void)t;
	(void)err;
	return 0;
}

/* Page tables stay as they are, so nobody needs to be held. */
static int op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	(void)t;
	(void)err;
	if (vcpu > 0)
		return -ERANGE;
	*state = (struct vp_vcpu_state){ .paging = guest_paging, .code64 = true };
	return 0;
}

static void op_release(struct vp_target *t)
{
	(void)t;
}

/* --- waiting for vCPUs ------------------------------------------------------- */

/* Is the engine about to look at a site a second time? */
static bool in_doubt(void)
{
	const struct vp_batch *b = atomic_load(&w.engine->table);

	for (size_t i = 0; b && i < b->n; i++)
		if (b->slots[i].doubt)
			return true;
	return false;
}

/*
 * What the engine cannot know and has to assume then: its rounds are long enough for every vCPU to
 * come back to the guest, and for the guest's text_poke to go on as far as it can.
 */
static bool has_given_time(void)
{
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.vcpu[i].mode != GUEST && w.vcpu[i].mode != ABSENT)
			return false;
	return !patch_may_go_on();
}

bool wait_is_over(void)
{
	if (w.wait == WAIT_SYNC && in_doubt() && !has_given_time())
		return false;
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		const struct vcpu *v = &w.vcpu[i];

		if (w.wait == WAIT_SYNC && v->mode == GUEST && v->behind)
			return false;
		if (w.wait == WAIT_QUIESCE && vcpu_in_trap(v) && v->must_leave)
			return false;
	}
	return true;
}

static int wait_for(enum wait what, struct vp_err *err)
{
	const struct vp_batch *b;

	w.wait = (uint8_t)what;
	for (unsigned int i = 0; w.before && i < sc->vcpus; i++)
		if (w.vcpu[i].mode == GUEST)
			vcpu_serve(&w.vcpu[i]);
	pause_here();
	w.wait = WAIT_NONE;
	w.unseen = false; /* the engine is to look after each wait */
	if (!w.timed_out) {
		note("all have answered");
		return 0;
	}
	note("timed out");
	b = atomic_load(&w.engine->table);
	w.timed_out = false;
	w.given_up = !w.reached && !(b && b->reached_heads);
	return vp_err_set(err, -ETIMEDOUT, "a vCPU did not answer");
}

static int ask_to_serialize(struct vp_err *err)
{
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		struct vcpu *v = &w.vcpu[i];

		if (!vcpu_present(v))
			continue;
		v->behind = true;
		if (v->mode != GUEST && !(broken & BREAK_ENTRY))
			__builtin_memset(v->may, 0, sizeof(v->may));
	}
	return wait_for(WAIT_SYNC, err);
}

static int op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		   struct vp_err *err)
{
	(void)t;
	(void)what;
	(void)timeout_ms;
	op_begin();
	note("sync: ask every vCPU");
	must_be_locked("sync");
	return ask_to_serialize(err);
}

/* As in local_sync.c: who is still armed from the batch before needs not be asked. */
static int op_arm(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	bool all = true;

	(void)t;
	(void)timeout_ms;
	op_begin();
	note("arm");
	must_be_locked("arm");
	w.want_armed = true;
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (vcpu_present(&w.vcpu[i]) && !w.vcpu[i].armed)
			all = false;
	op_end();
	if (all || broken & BREAK_ARM)
		return 0;
	op_begin();
	note("arm: ask every vCPU");
	return ask_to_serialize(err);
}

/* Lazy: a vCPU disarms when it next passes through the VMM, or never. */
static void op_disarm(struct vp_target *t)
{
	(void)t;
	op_begin();
	note("disarm");
	must_be_locked("disarm");
	w.want_armed = false;
	op_end();
}

static int op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	(void)t;
	(void)timeout_ms;
	op_begin();
	note("quiesce: wait for handlers");
	must_be_locked("quiesce");
	for (unsigned int i = 0; i < sc->vcpus; i++)
		w.vcpu[i].must_leave = vcpu_in_trap(&w.vcpu[i]) && !(broken & BREAK_QUIESCE);
	return wait_for(WAIT_QUIESCE, err);
}

static void op_unpark(struct vp_target *t)
{
	(void)t;
	op_begin();
	note("unpark");
	must_be_locked("unpark");
	for (unsigned int i = 0; i < sc->vcpus; i++)
		w.vcpu[i].woken = vcpu_in_trap(&w.vcpu[i]);
	op_end();
}

/* The stop strategy is not explored: nobody runs while it writes. */
static int op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	(void)t;
	(void)timeout_ms;
	violate("stop() in an int3 batch");
	return vp_err_set(err, -EOPNOTSUPP, "not explored");
}

static void op_resume(struct vp_target *t)
{
	(void)t;
}

const struct vp_target_ops explore_ops = {
	.name = "explorer",
	.lock = op_lock,
	.unlock = op_unlock,
	.read = op_read,
	.write = op_write,
	.swap_head = op_swap_head,
	.swap_bytes = op_swap_bytes,
	.swap_word = op_swap_word,
	.writable = op_writable,
	.hold = op_hold,
	.release = op_release,
	.arm = op_arm,
	.disarm = op_disarm,
	.sync = op_sync,
	.quiesce = op_quiesce,
	.unpark = op_unpark,
	.stop = op_stop,
	.resume = op_resume,
	.abandon = op_resume,
};
