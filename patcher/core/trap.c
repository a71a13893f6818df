/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink of #BP exits. Runs on vCPU threads, several at once, without the
 * target's lock; it only reads the trap table.
 */
#include "core/internal.h"
#include "x86/emulate.h"
#include "x86/trap.h"

/* --- the guest's stack, for an emulated call or ret -------------------------- */

struct stack {
	struct vp_target *target;
	const struct vp_paging *paging;
};

#define CR4_CET (1ull << 23)

/*
 * Only memory that the CPU itself would reach without a fault and without setting a bit in a
 * page table: eight bytes on one supervisor page, already dirty if they are to be written.
 * Everything else makes the vCPU park, and the real CPU does the instruction. So does CET: a call
 * also writes the shadow stack, which is not ours to touch.
 */
static int stack_map(const struct stack *s, vp_gva addr, bool write, vp_gpa *out)
{
	struct vp_phys_reader mem = vp_target_reader(s->target);
	struct vp_map map;
	int rc;

	if ((addr.v & 0xfff) > 0x1000 - 8 || s->paging->cr4 & CR4_CET)
		return -1;
	rc = vp_walk(s->paging, &mem, addr, &map, NULL);
	if (rc)
		return rc;
	if (map.user || (write && (!map.writable || !map.dirty)))
		return -1;
	*out = map.gpa;
	return 0;
}

static int stack_load(void *arg, vp_gva addr, uint64_t *value)
{
	const struct stack *s = arg;
	vp_gpa gpa;

	if (stack_map(s, addr, false, &gpa))
		return -1;
	return s->target->ops->read(s->target, gpa, value, sizeof(*value), NULL);
}

static int stack_store(void *arg, vp_gva addr, uint64_t value)
{
	const struct stack *s = arg;
	vp_gpa gpa;

	if (stack_map(s, addr, true, &gpa))
		return -1;
	return s->target->ops->write(s->target, gpa, &value, sizeof(value), NULL);
}

/* --- the decision ------------------------------------------------------------ */

static bool emulate(struct vp_engine *e, const struct vp_slot *s, struct vp_trap *trap)
{
	struct stack stack = { .target = e->target, .paging = &trap->paging };
	const struct vp_stack_ops ops = { stack_load, stack_store, &stack };

	return vp_emulate(&s->new_insn, &trap->regs, &ops) == 0;
}

/*
 * `open` (and `awake`) is stored before unpark(), and the target sampled its unpark count before it
 * called us: so a vCPU that is told to park here is woken by an unpark() that is still to come.
 */
static enum vp_verdict park(struct vp_engine *e, const struct vp_batch *b)
{
	atomic_fetch_add_explicit(&e->stats.park, 1, memory_order_relaxed);
	if (atomic_load_explicit(&b->open, memory_order_acquire) ||
	    atomic_load_explicit(&b->awake, memory_order_acquire))
		return VP_VERDICT_RESUME;
	return VP_VERDICT_PARK;
}

static enum vp_verdict apply_rule(struct vp_engine *e, const struct vp_batch *b,
				  const struct vp_slot *s, struct vp_trap *trap)
{
	switch (s->site.resume) {
	case VP_RESUME_FIXUP:
		atomic_fetch_add_explicit(&e->stats.fixup, 1, memory_order_relaxed);
		trap->regs.rip = s->site.fixup.v;
		return VP_VERDICT_RESUME;
	case VP_RESUME_EMULATE:
		if (!emulate(e, s, trap))
			break;
		atomic_fetch_add_explicit(&e->stats.emulate, 1, memory_order_relaxed);
		return VP_VERDICT_RESUME;
	case VP_RESUME_PARK:
		break;
	}
	return park(e, b);
}

static enum vp_verdict foreign(struct vp_engine *e)
{
	atomic_fetch_add_explicit(&e->stats.foreign, 1, memory_order_relaxed);
	return VP_VERDICT_FOREIGN;
}

/* The trap is on no site of ours: does an int3 stand there that has prefixes? */
static bool prefixed_int3(struct vp_engine *e, vp_gpa gpa, uint8_t first)
{
	size_t n = vp_insn_room(gpa);
	uint8_t bytes[VP_INSN_MAX];

	if (e->target->ops->read(e->target, gpa, bytes, n, NULL))
		return false;
	/* The byte that decides is the one that was read before the table: see vp_trap_handle(). */
	bytes[0] = first;
	return vp_int3_length(bytes, n);
}

/* What there is to know of a trap at @gpa, through the table @b (may be NULL). */
static const struct vp_slot *look_up(struct vp_engine *e, const struct vp_batch *b, vp_gva rip,
				     vp_gpa gpa, uint8_t byte, struct vp_trap_facts *f)
{
	const struct vp_slot *slot = b ? vp_runs_find_head(b, gpa) : NULL;
	uint8_t claim = VP_CLAIM_NONE;

	/* Acquire: pairs with vp_slot_cap(), which claims a site before its int3 can be seen. */
	if (slot)
		claim = atomic_load_explicit(&slot->claim, memory_order_acquire);
	if (claim == VP_CLAIM_NONE)
		slot = NULL;
	f->capping = claim == VP_CLAIM_TRYING;
	f->in_table = slot && slot->site.addr.v == rip.v;
	f->alias = slot && !f->in_table;
	f->int3 = byte == VP_INT3 || (!slot && prefixed_int3(e, gpa, byte));
	if (!slot)
		return NULL;
	/* Acquire: pairs with the release stores in roll_back() and finish() (poke.c). */
	f->undoing = atomic_load_explicit(&b->undoing, memory_order_acquire);
	f->open = atomic_load_explicit(&b->open, memory_order_acquire);
	/* The final head may have been written since the byte was read; open says that it was. */
	if (f->open && f->int3 && !e->target->ops->read(e->target, gpa, &byte, 1, NULL))
		f->int3 = byte == VP_INT3;
	return slot;
}

/* Reads the target, and keeps whether that failed. */
struct noting {
	struct vp_target *target;
	bool failed;
};

static int read_noting(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct noting *n = arg;
	int rc = n->target->ops->read(n->target, gpa, buf, len, err);

	n->failed = n->failed || rc;
	return rc;
}

/* A trap whose byte cannot be read. */
static enum vp_verdict unseen(struct vp_engine *e, const struct vp_trap *trap, bool unmapped)
{
	const struct vp_batch *b = atomic_load_explicit(&e->table, memory_order_acquire);
	const struct vp_slot *slot = b ? vp_batch_find(b, trap->rip) : NULL;

	/*
	 * The guest has unmapped the page since, so no int3 stands there any more (S5): run there
	 * again, and the guest takes its own page fault. What is mapped, but to no memory that we
	 * know, holds no site of ours.
	 */
	if (!unmapped && !(slot && slot->site.addr.v == trap->rip.v))
		return foreign(e);
	atomic_fetch_add_explicit(&e->stats.late, 1, memory_order_relaxed);
	return VP_VERDICT_RESUME;
}

enum vp_verdict vp_trap_handle(void *engine, struct vp_trap *trap)
{
	struct vp_engine *e = engine;
	struct noting noting = { .target = e->target };
	struct vp_phys_reader mem = { read_noting, &noting };
	struct vp_trap_facts facts = { 0 };
	const struct vp_slot *slot;
	const struct vp_batch *b;
	struct vp_map map;
	uint8_t byte;
	int rc;

	/* Sites are 64-bit code of this guest, not of one that it runs itself. */
	if (!trap->code64 || trap->nested || !vp_paging_is_long(&trap->paging))
		return foreign(e);
	rc = vp_walk(&trap->paging, &mem, trap->rip, &map, NULL);
	if (rc || mem.read(mem.arg, map.gpa, &byte, 1, NULL))
		return unseen(e, trap, rc && !noting.failed);
	/*
	 * The byte before the table: an int3 of a batch that was published meanwhile is then found
	 * in it. That read() and this load are acquires; their partners are the swap of the head
	 * and the release store in table_publish() (poke.c).
	 */
	b = atomic_load_explicit(&e->table, memory_order_acquire);
	slot = look_up(e, b, trap->rip, map.gpa, byte, &facts);

	switch (vp_trap_decide(&facts)) {
	case VP_TRAP_RULE:
		return apply_rule(e, b, slot, trap);
	case VP_TRAP_WAIT:
		return park(e, b);
	case VP_TRAP_RERUN:
		atomic_fetch_add_explicit(&e->stats.late, 1, memory_order_relaxed);
		return VP_VERDICT_RESUME;
	case VP_TRAP_FOREIGN:
		break;
	}
	return foreign(e);
}
