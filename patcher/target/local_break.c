/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breakpoints of the local target: int3s in the guest's memory. Each is written and taken away with
 * every vCPU held, and is a #BP exit to us: the vCPU that comes to one stays out of the guest
 * (v->stands), and so RIP is there still. Taking one away is safe whatever a vCPU does: one that
 * traps too late finds no int3, and runs again at the same place (the engine's sink, S5).
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "target/kept.h"
#include "target/local_internal.h"
#include "x86/decode.h"
#include "x86/walk.h"

#define AGAIN_MS 30000u /* to have every vCPU held again: nothing is right before */

static int read_phys(void *l, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	return vp_local_op_read(l, gpa, buf, len, err);
}

/* --- one breakpoint ---------------------------------------------------------------- */

static struct vp_local_break *find(struct vp_local *l, uint64_t addr)
{
	for (size_t i = 0; i < VP_BREAKS_MAX; i++)
		if (atomic_load(&l->breaks[i].addr) == addr)
			return &l->breaks[i];
	return NULL;
}

static int translate(struct vp_local *l, vp_gva addr, vp_gpa *out, struct vp_err *err)
{
	const struct vp_phys_reader mem = { read_phys, l };
	struct vp_vcpu_state state;
	struct vp_map map;
	int rc = -EOPNOTSUPP;

	if (l->space.cr3)
		rc = vp_walk(&l->space, &mem, addr, &map, err);
	for (int i = 0; i < VP_VCPU_MAX && rc && !l->space.cr3; i++) {
		if (!l->vcpus[i])
			continue;
		rc = vp_local_op_hold(&l->target, i, &state, err);
		if (rc)
			return rc;
		vp_local_op_release(&l->target);
		rc = state.nested ? -EOPNOTSUPP : vp_walk(&state.paging, &mem, addr, &map, err);
	}
	if (rc)
		return vp_err_set(err, rc,
				  "0x%llx is mapped for no vCPU, so none can be stopped there",
				  (unsigned long long)addr.v);
	*out = map.gpa;
	return 0;
}

/* What stands there, as far as its page goes: that is what clear() expects to find again. */
static int look_at(struct vp_local *l, struct vp_local_break *b, vp_gva addr, struct vp_err *err)
{
	vp_gpa gpa = VP_GPA(atomic_load(&b->gpa));
	size_t room = 0x1000 - (gpa.v & 0xfff);
	struct vp_insn insn;
	int rc;

	if (room > sizeof(b->bytes))
		room = sizeof(b->bytes);
	rc = vp_local_op_read(&l->target, gpa, b->bytes, room, err);
	if (rc)
		return rc;
	b->len = vp_insn_decode(b->bytes, room, addr, &insn, NULL) ? 1 : insn.len;
	return 0;
}

static void forget(struct vp_local *l, struct vp_local_break *b)
{
	atomic_store(&b->addr, 0);
	b->written = false;
	if (atomic_fetch_sub(&l->nbreaks, 1) == 1 && !l->batch_armed)
		vp_local_disarm_all(l);
	vp_local_wake(l); /* who stood at the last of them, and came too late to be let pass */
}

/*
 * The old byte goes back, unless the guest has written there meanwhile: over our int3, or behind it
 * (its own text_poke is at work, and our int3 has become that one's).
 */
static int take_away(struct vp_local *l, struct vp_local_break *b, struct vp_err *err)
{
	vp_gpa gpa = VP_GPA(atomic_load(&b->gpa));
	uint8_t now[VP_INSN_MAX];
	int rc = b->written ? vp_local_op_read(&l->target, gpa, now, b->len, err) : 0;

	if (!rc && b->written && now[0] == VP_INT3 && !memcmp(now + 1, b->bytes + 1, b->len - 1))
		rc = vp_local_op_swap_head(&l->target, gpa, VP_INT3, b->bytes[0], err);
	if (rc && rc != -EAGAIN) /* which it has overwritten just now */
		return rc;
	forget(l, b);
	return 0;
}

/* --- the operations ---------------------------------------------------------------- */

static int check(struct vp_local *l, struct vp_err *err)
{
	return atomic_load(&l->holds) > (atomic_load(&l->paused) ? 1u : 0u)
		       ? 0
		       : vp_err_set(err, -EPERM, "breakpoints are for a VM that is stopped");
}

static int put(struct vp_local *l, struct vp_local_break *b, vp_gva addr, struct vp_err *err)
{
	vp_gpa gpa;
	int rc = translate(l, addr, &gpa, err);

	if (rc)
		return rc;
	atomic_store(&b->gpa, gpa.v);
	rc = look_at(l, b, addr, err);
	if (!rc)
		rc = vp_local_op_check_write(&l->target, gpa, 1, err);
	if (!rc)
		rc = vp_local_arm_all(l, VP_TIMEOUT_MS, err);
	if (rc)
		return rc;
	atomic_store(&b->addr, addr.v);
	atomic_fetch_add(&l->nbreaks, 1);
	if (b->bytes[0] != VP_INT3)
		rc = vp_local_op_swap_head(&l->target, gpa, b->bytes[0], VP_INT3, err);
	b->written = !rc && b->bytes[0] != VP_INT3;
	if (rc)
		forget(l, b);
	return rc;
}

static int op_set(struct vp_target *t, vp_gva addr, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct vp_local_break *b = find(l, 0);
	int rc = check(l, err);

	if (rc || find(l, addr.v))
		return rc;
	if (atomic_load(&l->left))
		return vp_err_set(err, -EBUSY,
				  "a function of the guest that was called has not returned yet");
	if (l->route == VP_ROUTE_NONE)
		return vp_err_set(err, -EOPNOTSUPP,
				  "this host's KVM does not report a guest's int3, so no functions "
				  "of a guest can be called here");
	if (!b)
		return vp_err_set(err, -ENOSPC, "no more than %u breakpoints", VP_BREAKS_MAX);
	rc = put(l, b, addr, err);
	if (rc && !atomic_load(&l->nbreaks) && !l->batch_armed)
		vp_local_disarm_all(l);
	return rc;
}

static int op_clear(struct vp_target *t, vp_gva addr, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct vp_local_break *b = find(l, addr.v);
	int rc = check(l, err);

	return rc || !b ? rc : take_away(l, b, err);
}

static void let_all_pass(struct vp_local *l)
{
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i])
			atomic_store(&l->vcpus[i]->stands, VP_STANDS_NOWHERE);
}

struct seen {
	bool there;    /* one stands at a breakpoint */
	bool may_come; /* one may still come there */
};

static bool is_over(struct vp_local *l, void *arg)
{
	struct seen *s = arg;

	*s = (struct seen){ false };
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++) {
		if (!l->vcpus[i])
			continue;
		s->there |= atomic_load(&l->vcpus[i]->stands) == VP_STANDS_AT;
		s->may_come |= !atomic_load(&l->vcpus[i]->leaving);
	}
	return s->there || !s->may_come;
}

static int op_wait(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct seen seen;
	int rc = check(l, err);

	if (!rc && atomic_load(&l->paused))
		rc = vp_err_set(err, -EBUSY, "the VM is paused: cont it first");
	if (rc)
		return rc;
	let_all_pass(l);
	vp_local_let_go(l);
	vp_local_await(l, is_over, &seen, timeout_ms * 1000ull);
	rc = vp_local_hold_all(l, AGAIN_MS, err);
	if (rc)
		return vp_err_set(err, -EIO, "%.200s", err ? err->text : "");
	is_over(l, &seen);
	if (seen.there)
		return 0;
	return seen.may_come ? vp_err_set(err, -ETIMEDOUT,
					  "no vCPU came to a breakpoint within %u ms", timeout_ms)
			     : vp_err_set(err, -ESHUTDOWN, "the VM is ending");
}

/*
 * Also for one that was called out of the guest just when it came there, before the int3. At the
 * entry of a function, or behind a call, a vCPU is in the middle of nothing (port I/O, say).
 */
static int op_set_regs(struct vp_target *t, int vcpu, const struct vp_regs *regs,
		       struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct vp_local_vcpu *v = vcpu >= 0 && vcpu < VP_VCPU_MAX ? l->vcpus[vcpu] : NULL;
	struct kvm_regs to;
	int rc = check(l, err);

	if (!rc && !v)
		rc = vp_err_set(err, -ENOENT, "there is no vCPU %d", vcpu);
	if (rc)
		return rc;
	vp_regs_to_kvm(&to, regs);
	if (ioctl(v->fd, KVM_SET_REGS, &to) < 0)
		return vp_err_set(err, -EIO, "vCPU %d: its registers cannot be set: %s", vcpu,
				  strerror(errno));
	return 0;
}

/* Nothing outlives this process that it could outlive: it is the VM. */
static int op_keep(struct vp_target *t, const void *data, size_t len, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	int rc = check(l, err);

	if (!rc)
		rc = vp_kept_put(l->kept, &l->nkept, data, len, err);
	if (!rc && !len)
		atomic_store(&l->left, false);
	return rc;
}

static int op_kept(struct vp_target *t, void *data, size_t size, size_t *len, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);

	return vp_kept_get(l->kept, l->nkept, data, size, len, err);
}

/* Those that were written, or all. */
static void drop(struct vp_local *l, bool all)
{
	for (size_t i = 0; i < VP_BREAKS_MAX; i++)
		if (atomic_load(&l->breaks[i].addr) && (all || l->breaks[i].written))
			take_away(l, &l->breaks[i], NULL);
}

/*
 * No int3 of ours stays in the guest's code: where calls return to is one of its own, and there the
 * vCPU waits, when it comes.
 */
static void op_leave(struct vp_target *t)
{
	struct vp_local *l = vp_local_of(t);

	drop(l, false);
	atomic_store(&l->left, true);
	vp_local_let_go(l);
}

void vp_local_op_resume(struct vp_target *t)
{
	struct vp_local *l = vp_local_of(t);

	if (!atomic_load(&l->left)) {
		drop(l, true);
		l->nkept = 0;
		let_all_pass(l);
	}
	l->space = (struct vp_paging){ 0 };
	vp_local_let_go(l);
}

/* Held for ever. (No write of ours to RAM can fail half way: it is for calls that were cut off.) */
void vp_local_op_abandon(struct vp_target *t)
{
	drop(vp_local_of(t), true);
}

bool vp_local_call_is_left(struct vp_local *l)
{
	return atomic_load(&l->left);
}

static void op_space(struct vp_target *t, const struct vp_paging *space)
{
	vp_local_of(t)->space = *space;
}

const struct vp_break_ops vp_local_break_ops = {
	.set = op_set,
	.clear = op_clear,
	.wait = op_wait,
	.set_regs = op_set_regs,
	.keep = op_keep,
	.kept = op_kept,
	.leave = op_leave,
	.space = op_space,
};
