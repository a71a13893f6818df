/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is inside some functions: found by their stacks, read conservatively. A task that does not
 * run has saved its stack pointer (thread.sp), and every address that it returns to is above. One
 * that runs has it in its vCPU's registers; in an interrupt that is on the CPU's interrupt stack,
 * whose uppermost word leads back to the task's (arch/x86/include/asm/irq_stack.h). A vCPU in user
 * mode has nothing on its kernel stack.
 *
 * Which task a vCPU in user mode runs its registers do not tell on every target. But each vCPU
 * runs one of the tasks that have on_cpu set; those that no other vCPU accounts for must be theirs,
 * if there are not more of them.
 */
#include "linux/owner.h"
#include "linux/tasks.h"

#include "base/vcpus.h"
#include "x86/walk.h"

#include <errno.h>
#include <stdlib.h>

#define TRIES	   8u
#define STACK_MAX  0x20000u
#define RANGES_MAX 4096u
#define RET_DEPTH  64	   /* of old kernels; FTRACE_RETFUNC_DEPTH is 50 */
#define RET_PAGE   0x1000u /* SHADOW_STACK_SIZE of new ones */
#define HASH_LISTS 64u	   /* KPROBE_TABLE_SIZE */

struct vp_linux_inside {
	struct vp_linux *l;
	struct vp_linux_range *ranges;
	size_t nranges;
	struct vp_tasks before; /* by address */
	struct vp_gather gather;
	struct vp_linux_cost cost;
};

/* One look. */
struct look {
	struct vp_linux_inside *in;
	struct vp_tasks now;
	uint64_t *from; /* for each task: where its stack is in use from; 0: by its thread.sp */
	unsigned int outside; /* vCPUs in user mode */
	unsigned int nested;  /* vCPUs that run a guest of their own */
	struct vp_linux_blocker *who;
	struct vp_err *err;
	uint8_t stack[STACK_MAX];
};

#define NOT_IN_USE UINT64_MAX

/* --- what is found ------------------------------------------------------------------ */

static bool is_inside(const struct vp_linux_inside *in, uint64_t addr)
{
	for (size_t i = 0; i < in->nranges; i++)
		if (addr - in->ranges[i].start.v - 1 < in->ranges[i].len - 1)
			return true;
	return false;
}

static void tell(struct look *k, const struct vp_task *t, int vcpu, uint64_t addr)
{
	struct vp_linux_blocker *who = k->who;

	memset(who, 0, sizeof(*who));
	who->vcpu = vcpu;
	who->addr = VP_GVA(addr);
	if (addr)
		vp_owner_name(k->in->l, addr, who->where, sizeof(who->where));
	if (!t)
		return;
	who->task = VP_GVA(t->addr);
	who->pid = t->pid;
	memcpy(who->comm, t->comm, sizeof(who->comm));
}

static int found(struct look *k, const struct vp_task *t, int vcpu, uint64_t addr)
{
	tell(k, t, vcpu, addr);
	if (!t)
		return vp_err_set(k->err, -EBUSY, "vCPU %d is inside %s", vcpu, k->who->where);
	return vp_err_set(k->err, -EBUSY, "task %d (%s) is inside %s", t->pid, t->comm,
			  k->who->where);
}

/* @len bytes of the stack of @t, or of vCPU @vcpu. */
static int scan(struct look *k, const struct vp_task *t, int vcpu, size_t len)
{
	const struct vp_blob b = { k->stack, len, 0 };
	uint64_t value;

	for (size_t off = 0; vp_blob_u64(&b, off, &value); off += 8)
		if (is_inside(k->in, value))
			return found(k, t, vcpu, value);
	return 0;
}

/* --- stacks ------------------------------------------------------------------------- */

static int by_addr(const void *a, const void *b)
{
	const struct vp_task *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Was this very task there before? Its stack is where it was then. */
static bool is_known(const struct vp_linux_inside *in, const struct vp_task *t)
{
	const struct vp_task *b =
		in->before.n ? bsearch(t, in->before.t, in->before.n, sizeof(*t), by_addr) : NULL;

	return b && b->pid == t->pid && b->stack == t->stack;
}

static int get_direct(struct look *k, uint64_t addr, void *buf, size_t len)
{
	k->in->cost.reads++;
	k->in->cost.bytes += len;
	return vp_kernel_mem_read(&k->in->l->mem, VP_GVA(addr), buf, len, k->err);
}

/* Read the part of a stack that is in use. */
static int get_stack(struct look *k, const struct vp_task *t, uint64_t from, size_t len)
{
	if (is_known(k->in, t) && k->now.seen && vp_gather_get(k->now.seen, from, k->stack, len))
		return 0;
	return get_direct(k, from, k->stack, len);
}

static int scan_task(struct look *k, const struct vp_task *t, uint64_t from)
{
	uint64_t top = t->stack + k->now.stack_size;
	int rc;

	if (!t->stack || from == NOT_IN_USE)
		return 0;
	if (!from)
		from = t->sp;
	if (from - t->stack >= k->now.stack_size || from % 8)
		return vp_err_set(k->err, -EAGAIN,
				  "task %d (%s): its stack pointer is not on its stack; try again",
				  t->pid, t->comm);
	rc = get_stack(k, t, from, (size_t)(top - from));
	if (rc)
		return vp_err_set(k->err, rc == -EFAULT ? -EAGAIN : rc,
				  "the stack of task %d (%s) cannot be read", t->pid, t->comm);
	return scan(k, t, -1, (size_t)(top - from));
}

/*
 * Function-graph tracing puts its own address on the stack, and keeps the right one here: an array
 * of entries, the index of the last one; since 6.12 a page of words, and how many are in use.
 */
static int scan_returns(struct look *k, const struct vp_task *t)
{
	uint32_t entry = k->in->l->tasks_at.ret_entry;
	int64_t n = entry > 8 ? (int64_t)t->ret_depth + 1 : t->ret_depth;
	size_t len;
	int rc;

	if (!t->ret_stack || n <= 0)
		return 0;
	len = (size_t)n * entry;
	if (n > (entry > 8 ? RET_DEPTH : (int64_t)(RET_PAGE / 8)) || !(t->ret_stack >> 63))
		return vp_err_set(k->err, -EAGAIN,
				  "task %d (%s): what the function-graph tracer keeps of it makes "
				  "no sense; try again",
				  t->pid, t->comm);
	rc = get_direct(k, t->ret_stack, k->stack, len);
	return rc ? vp_err_set(
			    k->err, rc == -EFAULT ? -EAGAIN : rc,
			    "what the function-graph tracer keeps of task %d (%s) cannot be read",
			    t->pid, t->comm)
		  : scan(k, t, -1, len);
}

static int refuse_hooks(struct look *k, const struct vp_task *t)
{
	if (!t->hooks)
		return 0;
	tell(k, t, -1, 0);
	return vp_err_set(k->err, -EBUSY,
			  "task %d (%s) is in a function that has a kretprobe or fexit hook, which "
			  "hides where it returns to; have that removed",
			  t->pid, t->comm);
}

/* Before 5.11 the instances of kretprobes of all tasks are in one hash table. */
static int refuse_old_hooks(struct look *k)
{
	uint8_t raw[HASH_LISTS * 8], any = 0;
	vp_gva at;
	int rc;

	if (k->in->l->tasks_at.kretprobes || k->in->l->tasks_at.rethooks ||
	    !vp_linux_find(k->in->l, "kretprobe_inst_table", &at))
		return 0;
	rc = vp_tasks_get(&k->now, at.v, raw, sizeof(raw), k->err);
	for (size_t i = 0; i < sizeof(raw); i++)
		any |= raw[i];
	if (rc || !any)
		return rc;
	tell(k, NULL, -1, 0);
	return vp_err_set(k->err, -EBUSY,
			  "a task is in a function that has a kretprobe, which hides where it "
			  "returns to; have that removed");
}

static int scan_tasks(struct look *k, bool running)
{
	int rc = refuse_old_hooks(k);

	for (size_t i = 0; i < k->now.n && !rc; i++) {
		const struct vp_task *t = &k->now.t[i];

		rc = refuse_hooks(k, t);
		if (!rc)
			rc = scan_returns(k, t);
		if (!rc && (running || !t->on_cpu))
			rc = scan_task(k, t, k->from ? k->from[i] : 0);
	}
	return rc;
}

/* --- vCPUs -------------------------------------------------------------------------- */

/* Mark the task whose stack has @sp. False: it is nobody's, or was another vCPU's already. */
static bool mark_task(struct look *k, uint64_t sp)
{
	for (size_t i = 0; i < k->now.n; i++) {
		const struct vp_task *t = &k->now.t[i];

		if (!t->stack || sp - t->stack >= k->now.stack_size)
			continue;
		if (k->from[i] || sp % 8)
			return false;
		k->from[i] = sp;
		return true;
	}
	return false;
}

/* Where the interrupt stack of a CPU ends. 0: it has none. */
static int irq_stack_end(struct look *k, unsigned int cpu, uint64_t *end)
{
	const struct vp_task_layout *y = &k->in->l->tasks_at;
	uint64_t at, top = 0;
	int rc = vp_percpu_find(&k->now, "hardirq_stack_ptr", cpu, &at, k->err);

	if (!rc && y->has_hot) {
		rc = vp_percpu_find(&k->now, "pcpu_hot", cpu, &at, k->err);
		at += y->hot_irq_stack;
	}
	*end = 0;
	if (rc <= 0)
		return rc;
	rc = vp_tasks_get(&k->now, at, &top, sizeof(top), k->err);
	if (!rc && top >> 63)
		*end = (top + 0xfff) & ~0xfffull; /* it is the end, or the word before */
	return rc;
}

/* The vCPU is in an interrupt, on its own stack. 1: it was not. */
static int scan_irq_stack(struct look *k, int vcpu, uint64_t sp)
{
	uint64_t end, size = k->now.stack_size, back = 0;
	const struct vp_blob b = { k->stack, sizeof(k->stack), 0 };
	uint32_t cpus;
	int rc = vp_cpu_count(&k->now, &cpus, k->err);

	for (unsigned int cpu = 0; cpu < cpus && !rc; cpu++) {
		rc = irq_stack_end(k, cpu, &end);
		if (rc || !end || end - 1 - sp >= size || sp % 8)
			continue;
		rc = get_direct(k, sp, k->stack, (size_t)(end - sp));
		vp_blob_u64(&b, end - 8 - sp, &back);
		if (!rc)
			rc = scan(k, NULL, vcpu, (size_t)(end - sp));
		return rc ? rc : mark_task(k, back) ? 0 : 1;
	}
	return rc ? rc : 1;
}

static int look_at_vcpu(void *arg, int vcpu, const struct vp_vcpu_state *state)
{
	uint64_t sp = state->regs.gpr[VP_RSP];
	struct look *k = arg;
	char name[128];
	int rc;

	if (state->nested)
		k->nested++;
	else if (state->cs & 3)
		k->outside++;
	if (state->nested || state->cs & 3 || !vp_paging_is_long(&state->paging))
		return 0; /* before it came up a CPU runs no task */
	if (is_inside(k->in, state->regs.rip))
		return found(k, NULL, vcpu, state->regs.rip);
	if (mark_task(k, sp))
		return 0;
	rc = scan_irq_stack(k, vcpu, sp);
	if (rc <= 0)
		return rc;
	vp_owner_name(k->in->l, state->regs.rip, name, sizeof(name));
	return vp_err_set(k->err, -EAGAIN,
			  "vCPU %d is amid an exception or a switch of tasks, at %s (rsp 0x%llx): "
			  "whose stack that is cannot be told; try again",
			  vcpu, name, (unsigned long long)sp);
}

/* What runs, but was seen on no vCPU: it is in user mode, or on a CPU that is off. */
static int account(struct look *k)
{
	unsigned int left = 0;

	for (size_t i = 0; i < k->now.n; i++) {
		const struct vp_task *t = &k->now.t[i];

		if (!t->on_cpu || k->from[i])
			continue;
		left += !t->idle;
		k->from[i] = t->idle || k->nested ? t->stack : NOT_IN_USE;
	}
	if (left <= k->outside + k->nested)
		return 0;
	return vp_err_set(k->err, -EAGAIN,
			  "%u tasks run, but only %u vCPUs are in user mode: the guest is amid a "
			  "switch of tasks; try again",
			  left, k->outside + k->nested);
}

/* --- looks -------------------------------------------------------------------------- */

static int look_held(struct look *k)
{
	struct vp_linux_inside *in = k->in;
	int rc = vp_gather_read(&in->gather, in->l, k->err);

	in->cost.reads = in->gather.nruns;
	in->cost.bytes = in->gather.size;
	if (!rc)
		rc = vp_tasks_read(&k->now, k->err);
	if (rc)
		return rc;
	k->from = calloc(k->now.n + 1, sizeof(*k->from));
	if (!k->from)
		return vp_err_set(k->err, -ENOMEM, "out of memory for a list of stacks");
	rc = vp_each_vcpu(in->l->mem.t, look_at_vcpu, k, k->err);
	if (!rc)
		rc = account(k);
	return rc ? rc : scan_tasks(k, true);
}

static int look(struct vp_linux_inside *in, struct vp_linux_blocker *who, bool held,
		struct vp_err *err)
{
	struct vp_linux_blocker own = { .vcpu = -1 };
	struct vp_err why = { "" };
	struct look *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return vp_err_set(err, -ENOMEM, "out of memory to look at stacks");
	k->in = in;
	k->err = &why;
	k->who = who ? who : &own;
	k->now = (struct vp_tasks){ .l = in->l, .seen = &in->gather };
	rc = vp_kernel_mem_keep(&in->l->mem);
	if (rc)
		vp_err_set(&why, rc, "out of memory");
	else if (held)
		rc = look_held(k);
	else
		rc = vp_tasks_read(&k->now, &why);
	if (!rc && !held)
		rc = scan_tasks(k, false);
	vp_kernel_mem_drop(&in->l->mem);
	in->cost.tasks = k->now.n;
	vp_tasks_free(&k->now);
	free(k->from);
	free(k);
	return rc ? vp_err_set(err, rc, "%s", why.text) : 0;
}

int vp_linux_inside_guess(struct vp_linux_inside *in, struct vp_linux_blocker *who,
			  struct vp_err *err)
{
	return look(in, who, false, err);
}

int vp_linux_inside_held(struct vp_linux_inside *in, struct vp_linux_blocker *who,
			 struct vp_err *err)
{
	return look(in, who, true, err);
}

/* --- before ------------------------------------------------------------------------- */

/* What a look will want of a task's stack: from the page of its stack pointer on. */
static int add_stack(struct vp_linux_inside *in, const struct vp_task *t, struct vp_err *err)
{
	uint64_t size = in->before.stack_size, from = t->sp & ~0xfffull;

	if (!t->stack)
		return 0;
	if (t->on_cpu || t->idle || t->sp - t->stack >= size)
		from = t->stack;
	return vp_gather_add(&in->gather, in->l, from, (size_t)(t->stack + size - from), err);
}

static int add_percpu(struct vp_linux_inside *in, struct vp_err *err)
{
	struct look *k = calloc(1, sizeof(*k));
	struct vp_linux_blocker who;
	uint64_t end;
	uint32_t cpus;
	int rc;

	if (!k)
		return vp_err_set(err, -ENOMEM, "out of memory to look at stacks");
	k->in = in;
	k->now = in->before;
	k->who = &who;
	k->err = err;
	rc = vp_cpu_count(&k->now, &cpus, err);
	for (unsigned int cpu = 0; cpu < cpus && !rc; cpu++)
		rc = irq_stack_end(k, cpu, &end);
	if (!rc)
		rc = refuse_old_hooks(k);
	vp_view_free(&k->now.others_near);
	free(k);
	if (rc == -EBUSY)
		rc = 0; /* for now it is only read */
	return rc;
}

/* Read all tasks, and note what was read for the look in the stop. */
static int prepare(struct vp_linux_inside *in, struct vp_err *err)
{
	int rc;

	vp_gather_free(&in->gather);
	in->before.learn = &in->gather;
	rc = vp_tasks_read(&in->before, err);
	if (!rc && in->before.stack_size > STACK_MAX)
		rc = vp_err_set(err, -EOPNOTSUPP, "the kernel's stacks are larger than known");
	if (!rc)
		rc = add_percpu(in, err);
	for (size_t i = 0; i < in->before.n && !rc; i++) {
		rc = add_stack(in, &in->before.t[i], err);
		if (rc == -EFAULT) /* it ended meanwhile */
			rc = -EAGAIN;
	}
	if (!rc)
		rc = vp_gather_plan(&in->gather, err);
	if (!rc)
		rc = vp_gather_read(&in->gather, in->l, err);
	if (in->before.n)
		qsort(in->before.t, in->before.n, sizeof(*in->before.t), by_addr);
	return rc;
}

int vp_linux_inside_new(struct vp_linux *l, const struct vp_linux_range *ranges, size_t n,
			struct vp_linux_inside **out, struct vp_err *err)
{
	struct vp_linux_inside *in;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (!ranges[i].len || ranges[i].start.v + ranges[i].len < ranges[i].start.v)
			rc = -EINVAL;
	if (rc || !n || n > RANGES_MAX)
		return vp_err_set(err, -EINVAL, "no text, or too much, to look for on stacks");
	in = calloc(1, sizeof(*in));
	if (in)
		in->ranges = calloc(n, sizeof(*ranges));
	if (!in || !in->ranges || vp_kernel_mem_keep(&l->mem)) {
		vp_linux_inside_free(in);
		return vp_err_set(err, -ENOMEM, "out of memory to look at stacks");
	}
	memcpy(in->ranges, ranges, n * sizeof(*ranges));
	in->nranges = n;
	in->l = in->before.l = l;
	for (unsigned int i = 0; i < TRIES; i++) {
		rc = prepare(in, err);
		if (rc != -EAGAIN || vp_kernel_mem_keep(&l->mem))
			break;
	}
	vp_kernel_mem_drop(&l->mem);
	if (rc)
		vp_linux_inside_free(in);
	else
		*out = in;
	return rc;
}

void vp_linux_inside_free(struct vp_linux_inside *in)
{
	if (!in)
		return;
	free(in->ranges);
	vp_tasks_free(&in->before);
	vp_gather_free(&in->gather);
	free(in);
}

struct vp_linux_cost vp_linux_inside_cost(const struct vp_linux_inside *in)
{
	return in->cost;
}
