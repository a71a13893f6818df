/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_calls.h"

#include "unit.h"

static struct fake_calls *fc; /* one at a time: struct fake knows nothing of it */

static struct vp_regs elsewhere(void)
{
	return (struct vp_regs){ .rip = FC_IDLE,
				 .rflags = 0x202,
				 .gpr[VP_RSP] = FAKE_DATA + 0x8000 };
}

static bool breaks_at(uint64_t addr)
{
	for (size_t i = 0; i < fc->nbreaks; i++)
		if (fc->breaks[i].v == addr)
			return true;
	return false;
}

static int op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	if (vcpu > 1)
		return vp_err_set(err, -ERANGE, "no vCPU %d", vcpu);
	*state = (struct vp_vcpu_state){ .regs = fc->vcpu[vcpu < 0 ? 0 : vcpu],
					 .paging = ((struct fake *)t)->paging,
					 .code64 = true,
					 .cs = 0x10 };
	return 0;
}

static void op_release(struct vp_target *t)
{
	(void)t;
}

static void op_resume(struct vp_target *t)
{
	assert_true(((struct fake *)t)->stopped);
	((struct fake *)t)->stopped = false;
	fc->resumed = true;
	if (fc->passes > fc->passed) {
		assert_int_equal(fc->nbreaks, 0);
		fc->vcpu[0] = fc->vcpu[1] = elsewhere();
		fc->passed++;
	}
}

static void op_abandon(struct vp_target *t)
{
	((struct fake *)t)->stopped = false;
	fc->abandoned = true;
}

static void op_leave(struct vp_target *t)
{
	((struct fake *)t)->stopped = false;
	fc->left = true;
}

static int op_set(struct vp_target *t, vp_gva addr, struct vp_err *err)
{
	assert_true(((struct fake *)t)->stopped);
	if (fc->fail_set && !--fc->fail_set)
		return vp_err_set(err, fc->fail_rc, "no breakpoint");
	assert_true(fc->nbreaks < VP_BREAKS_MAX);
	assert_false(breaks_at(addr.v));
	fc->breaks[fc->nbreaks++] = addr;
	return 0;
}

static int op_clear(struct vp_target *t, vp_gva addr, struct vp_err *err)
{
	(void)err;
	assert_true(((struct fake *)t)->stopped);
	for (size_t i = 0; i < fc->nbreaks; i++)
		if (fc->breaks[i].v == addr.v)
			fc->breaks[i] = fc->breaks[--fc->nbreaks];
	return 0;
}

static void come_to(int vcpu, uint64_t addr)
{
	fc->on = vcpu;
	fc->vcpu[vcpu] = fc->own;
	fc->vcpu[vcpu].rip = addr;
	if (breaks_at(addr))
		fc->own.rip = addr;
}

/* The function does what it does, and returns to where its return address says. */
static void come_back(int vcpu)
{
	const struct vp_regs *regs = &fc->call;
	struct vp_regs now;
	uint64_t back;

	assert_true(fc->in_call);
	assert_int_equal(regs->gpr[VP_RSP] % 16, 8);
	assert_int_equal(regs->rflags & 0x40500, 0);
	assert_true(fc->ncalls < 32);
	fc->called[fc->ncalls++] = VP_GVA(regs->rip);
	now = *regs;
	memset(now.gpr, 0xee, sizeof(now.gpr));
	now.gpr[VP_RSP] = regs->gpr[VP_RSP] + 8;
	now.gpr[VP_RAX] = fc->function ? fc->function(fc, regs) : 0;
	memcpy(&back, fake_at(fc->f, regs->gpr[VP_RSP]), 8);
	assert_int_equal(back, FC_PAD);
	assert_true(breaks_at(FC_PAD));
	now.rip = back;
	fc->vcpu[fc->on] = elsewhere();
	fc->vcpu[vcpu] = now;
	fc->on = vcpu;
	fc->in_call = false;
}

static void oops(bool ours)
{
	uint64_t sp = fc->call.gpr[VP_RSP];

	assert_true(breaks_at(FC_OOPS));
	fc->vcpu[1] = (struct vp_regs){ .rip = FC_OOPS, .rflags = 0x46 };
	fc->vcpu[1].gpr[VP_RSP] = ours ? sp - 0x400 : FAKE_DATA + 0xf000;
}

static void happen(enum fc_event e)
{
	switch (e) {
	case FC_AT_SAFE:
	case FC_BOTH:
	case FC_UNFIT:
		come_to(0, FC_SAFE);
		if (e == FC_UNFIT)
			fc->vcpu[0].rflags = fc->own.rflags &= ~0x200ull;
		if (e == FC_BOTH) {
			fc->vcpu[1] = elsewhere();
			fc->vcpu[1].rip = FC_SAFE;
		}
		break;
	case FC_RETURN:
	case FC_RETURN_LATE:
		come_back(fc->on);
		break;
	case FC_MOVED:
		come_back(!fc->on);
		break;
	case FC_OOPSED:
	case FC_OTHER_OOPS:
		oops(e == FC_OOPSED);
		break;
	default:
		break;
	}
}

static int op_wait(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	enum fc_event e = *fc->script;

	(void)timeout_ms;
	assert_true(((struct fake *)t)->stopped);
	for (int i = 0; i < 2; i++) /* it would not get past it */
		assert_false(breaks_at(fc->vcpu[i].rip));
	if (e != FC_END)
		fc->script++;
	happen(e);
	if (e == FC_END || e == FC_TIMEOUT || e == FC_RETURN_LATE)
		return vp_err_set(err, -ETIMEDOUT, "too late");
	if (e == FC_AGAIN)
		return vp_err_set(err, -EAGAIN, "somebody let it go on");
	if (e == FC_LOST)
		return vp_err_set(err, -ECONNRESET, "it hung up");
	return e == FC_BUSY ? vp_err_set(err, -EBUSY, "postmigrate") : 0;
}

static int op_set_regs(struct vp_target *t, int vcpu, const struct vp_regs *regs,
		       struct vp_err *err)
{
	bool fails = fc->fail_regs && !--fc->fail_regs;

	assert_true(((struct fake *)t)->stopped);
	if (!fails || !fc->skip_regs) {
		fc->vcpu[vcpu] = *regs;
		fc->in_call = regs->rip != fc->own.rip;
		if (fc->in_call)
			fc->call = *regs;
	}
	return fails ? vp_err_set(err, fc->fail_rc, "no registers") : 0;
}

static int op_keep(struct vp_target *t, const void *data, size_t len, struct vp_err *err)
{
	assert_true(((struct fake *)t)->stopped);
	if (fc->fail_keep && !--fc->fail_keep)
		return vp_err_set(err, fc->fail_rc, "no space");
	assert_true(len <= VP_KEPT_MAX);
	if (len)
		memcpy(fc->kept, data, len);
	fc->nkept = len;
	return 0;
}

static int op_kept(struct vp_target *t, void *data, size_t size, size_t *len, struct vp_err *err)
{
	(void)t, (void)err;
	*len = fc->nkept < size ? fc->nkept : size;
	memcpy(data, fc->kept, *len);
	return 0;
}

static const struct vp_break_ops break_ops = {
	.set = op_set,
	.clear = op_clear,
	.wait = op_wait,
	.set_regs = op_set_regs,
	.keep = op_keep,
	.kept = op_kept,
	.leave = op_leave,
};

static struct vp_target_ops ops;

struct fake_calls *fake_calls_new(const enum fc_event *script)
{
	fc = calloc(1, sizeof(*fc));
	fc->f = fake_new();
	ops = *fc->f->target.ops;
	ops.hold = op_hold;
	ops.release = op_release;
	ops.resume = op_resume;
	ops.abandon = op_abandon;
	ops.breaks = &break_ops;
	fc->f->target.ops = &ops;
	fc->script = script;
	for (uint64_t i = 0; i < VP_GPR_COUNT; i++)
		fc->own.gpr[i] = 0x1111 * (i + 1);
	fc->own.gpr[VP_RSP] = FC_STACK;
	fc->own.rflags = 0x40702; /* AC, DF, IF, TF */
	fc->own.rip = FC_SAFE;
	fc->vcpu[0] = fc->vcpu[1] = elsewhere();
	fc->f->target.ops->lock(&fc->f->target, NULL);
	return fc;
}

void fake_calls_free(struct fake_calls *c)
{
	c->f->target.ops->unlock(&c->f->target);
	fake_free(c->f);
	free(c);
	fc = NULL;
}

struct vp_call_site fake_calls_site(void)
{
	return (struct vp_call_site){ .safe = { VP_GVA(FC_SAFE), VP_GVA(FC_SAFE2) },
				      .nsafe = 2,
				      .pad = VP_GVA(FC_PAD),
				      .oops = VP_GVA(FC_OOPS) };
}

struct vp_call_site fake_calls_nice(struct fake_calls *c, uint32_t prio, uint32_t policy)
{
	struct vp_call_site site = fake_calls_site();
	const uint64_t task = FAKE_DATA + 0x200, stack = FAKE_DATA;

	site.priority = (struct vp_priority_at){ FAKE_DATA + 0x100, 0x20, 0x30, 0x34 };
	memcpy(fake_at(c->f, FAKE_DATA + 0x100), &task, 8);
	memcpy(fake_at(c->f, task + 0x20), &stack, 8);
	memcpy(fake_at(c->f, task + 0x30), &prio, 4);
	memcpy(fake_at(c->f, task + 0x34), &policy, 4);
	return site;
}

void fake_calls_again(struct fake_calls *c, const enum fc_event *script)
{
	c->script = script;
	c->vcpu[0] = c->vcpu[1] = elsewhere();
	c->resumed = false;
}

void fake_calls_sleep(struct fake_calls *c)
{
	assert_true(c->in_call);
	c->vcpu[c->on] = elsewhere();
}

void fake_calls_clean(struct fake_calls *c)
{
	assert_true(c->resumed);
	assert_false(c->f->stopped || c->left || c->abandoned);
	assert_int_equal(c->nbreaks, 0);
	assert_int_equal(c->nkept, 0);
	if (c->vcpu[c->on].rip != FC_IDLE)
		assert_memory_equal(&c->vcpu[c->on], &c->own, sizeof(c->own));
}
