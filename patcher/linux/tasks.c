/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of tasks (include/linux/sched/signal.h): `tasks` links the first thread of each
 * process, in a circle through init_task; signal->thread_head all threads of a process, by their
 * thread_node. A thread leaves them before its stack is freed.
 */
#include "linux/tasks.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

#define AHEAD	 0x10000u
#define CPUS_MAX 8192u /* NR_CPUS of the largest kernels */

static int changes(struct vp_err *err)
{
	return vp_err_set(err, -EAGAIN,
			  "the guest's list of tasks changes, or makes no sense; try again");
}

/* Tasks lie near each other, and so do the rest: while the guest runs, more is read at once. */
static int get(const struct vp_tasks *ts, struct vp_view *near, uint64_t addr, void *buf,
	       size_t len, struct vp_err *err)
{
	int rc;

	if (ts->seen && vp_gather_get(ts->seen, addr, buf, len))
		return 0;
	rc = vp_view_read(ts->l, near, addr, buf, len, err);
	return !rc && ts->learn ? vp_gather_add(ts->learn, ts->l, addr, len, err) : rc;
}

int vp_tasks_get(struct vp_tasks *ts, uint64_t addr, void *buf, size_t len, struct vp_err *err)
{
	return get(ts, ts->learn ? &ts->others_near : NULL, addr, buf, len, err);
}

/* What a pointer of the guest's leads to: that it does not is a list that changes. */
static int follow(struct vp_tasks *ts, uint64_t addr, void *buf, size_t len, struct vp_err *err)
{
	int rc = addr >> 63 && addr % 8 == 0 ? vp_tasks_get(ts, addr, buf, len, err) : -EFAULT;

	return rc == -EFAULT ? changes(err) : rc;
}

/* --- per CPU ---------------------------------------------------------------------- */

int vp_cpu_count(struct vp_tasks *ts, uint32_t *out, struct vp_err *err)
{
	vp_gva at;
	int rc;

	if (!vp_linux_find(ts->l, "nr_cpu_ids", &at))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols do not tell how many CPUs it may have");
	rc = vp_tasks_get(ts, at.v, out, sizeof(*out), err);
	if (!rc && (!*out || *out > CPUS_MAX))
		rc = vp_err_set(err, -EBADMSG, "the kernel says that it may have %u CPUs", *out);
	return rc;
}

/* Is there such a CPU, or may there be? Of others the kernel leaves what it likes. */
static int is_possible(struct vp_tasks *ts, unsigned int cpu, bool *out, struct vp_err *err)
{
	uint8_t byte = 0;
	vp_gva mask;
	int rc;

	if (!vp_linux_find(ts->l, "__cpu_possible_mask", &mask))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols do not tell which CPUs there may be");
	rc = vp_tasks_get(ts, mask.v + cpu / 8, &byte, 1, err);
	*out = byte >> cpu % 8 & 1;
	return rc;
}

int vp_percpu_find(struct vp_tasks *ts, const char *name, unsigned int cpu, uint64_t *out,
		   struct vp_err *err)
{
	uint64_t base = 0;
	vp_gva table, at;
	bool possible = false;
	int rc;

	if (!vp_linux_find(ts->l, name, &at) || !vp_linux_find(ts->l, "__per_cpu_offset", &table))
		return 0;
	rc = is_possible(ts, cpu, &possible, err);
	if (rc || !possible)
		return rc;
	rc = vp_tasks_get(ts, table.v + 8ull * cpu, &base, sizeof(base), err);
	if (rc)
		return rc;
	*out = at.v + base;
	return 1;
}

/* --- one task --------------------------------------------------------------------- */

static uint64_t word(const struct vp_tasks *ts, const uint8_t *raw, uint32_t off)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	const struct vp_blob b = { raw, y->end - y->low, 0 };
	uint64_t value = 0;

	vp_blob_u64(&b, off - y->low, &value);
	return value;
}

static uint32_t half(const struct vp_tasks *ts, const uint8_t *raw, uint32_t off)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	const struct vp_blob b = { raw, y->end - y->low, 0 };
	uint32_t value = 0;

	vp_blob_u32(&b, off - y->low, &value);
	return value;
}

/* Read the part of the task at @addr that is wanted. */
static int read_task(struct vp_tasks *ts, uint64_t addr, uint8_t *raw, struct vp_err *err)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	int rc = addr >> 63 && addr % 8 == 0 ? get(ts, ts->learn ? &ts->tasks_near : NULL,
						   addr + y->low, raw, y->end - y->low, err)
					     : -EFAULT;

	return rc == -EFAULT ? changes(err) : rc;
}

static void take_comm(const struct vp_tasks *ts, const uint8_t *raw, struct vp_task *t)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;

	memcpy(t->comm, raw + (y->comm - y->low), VP_TASK_COMM_LEN);
	t->comm[VP_TASK_COMM_LEN] = '\0';
	vp_text_clean(t->comm);
}

static int add_task(struct vp_tasks *ts, uint64_t addr, const uint8_t *raw, bool idle,
		    struct vp_err *err)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	struct vp_task t = { .addr = addr, .idle = idle };

	if (ts->n >= VP_TASKS_MAX)
		return vp_err_set(err, -E2BIG, "the guest has more than %u tasks", VP_TASKS_MAX);
	if (ts->n == ts->cap) {
		size_t cap = ts->cap ? 2 * ts->cap : 256;
		void *p = reallocarray(ts->t, cap, sizeof(*ts->t));

		if (!p)
			return vp_err_set(err, -ENOMEM, "out of memory for a list of tasks");
		ts->t = p;
		ts->cap = cap;
	}
	t.stack = word(ts, raw, y->stack);
	t.sp = word(ts, raw, y->sp);
	t.pid = (int32_t)half(ts, raw, y->pid);
	t.on_cpu = y->on_cpu_size == 1 ? raw[y->on_cpu - y->low] : half(ts, raw, y->on_cpu);
	take_comm(ts, raw, &t);
	if (y->ret_stack) {
		t.ret_stack = word(ts, raw, y->ret_stack);
		t.ret_depth = (int32_t)half(ts, raw, y->ret_depth);
	}
	if (y->kretprobes)
		t.hooks = word(ts, raw, y->kretprobes);
	if (y->rethooks)
		t.hooks |= word(ts, raw, y->rethooks);
	if (t.stack && (!(t.stack >> 63) || t.stack % 0x1000 || t.stack + ts->stack_size < t.stack))
		return changes(err);
	ts->t[ts->n++] = t;
	return 0;
}

/* --- lists ------------------------------------------------------------------------ */

/*
 * The threads of a process, whose first one is @leader. Each node must lead back to the one before.
 * @raw is used up.
 */
static int read_threads(struct vp_tasks *ts, uint64_t leader, uint64_t signal, uint8_t *raw,
			struct vp_err *err)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	uint64_t head = signal + y->thread_head, at = 0, before = head;
	bool led = false;
	int rc = follow(ts, head, &at, sizeof(at), err);

	for (size_t i = 0; !rc && at != head; i++) {
		uint64_t task = at - y->thread_node;

		rc = i < VP_TASKS_MAX ? read_task(ts, task, raw, err) : changes(err);
		if (!rc && (word(ts, raw, y->thread_node + 8) != before ||
			    word(ts, raw, y->signal) != signal))
			rc = changes(err);
		if (!rc)
			rc = add_task(ts, task, raw, false, err);
		led |= task == leader;
		before = at;
		at = word(ts, raw, y->thread_node);
	}
	return rc || led ? rc : changes(err);
}

/* init_task is the list's head; it is the idle task of CPU 0, and no thread of any process else. */
static int read_list(struct vp_tasks *ts, uint64_t init, uint8_t *raw, struct vp_err *err)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	uint64_t head = init + y->tasks, at, before = head;
	int rc = read_task(ts, init, raw, err);

	if (!rc)
		rc = add_task(ts, init, raw, true, err);
	if (rc)
		return rc;
	at = word(ts, raw, y->tasks);
	while (!rc && at != head) {
		uint64_t task = at - y->tasks, next;

		rc = ts->n < VP_TASKS_MAX ? read_task(ts, task, raw, err) : changes(err);
		if (rc)
			break;
		next = word(ts, raw, y->tasks);
		if (word(ts, raw, y->tasks + 8) != before)
			rc = changes(err);
		else
			rc = read_threads(ts, task, word(ts, raw, y->signal), raw, err);
		before = at;
		at = next;
	}
	return rc;
}

/* Those of CPUs other than the first (kernel/smpboot.c). */
static int read_idle(struct vp_tasks *ts, uint64_t init, uint8_t *raw, struct vp_err *err)
{
	uint32_t cpus = 0;
	int rc = vp_cpu_count(ts, &cpus, err);

	for (unsigned int cpu = 0; cpu < cpus && !rc; cpu++) {
		uint64_t at = 0, task = 0;

		rc = vp_percpu_find(ts, "idle_threads", cpu, &at, err);
		if (!rc && cpu == 0)
			rc = vp_err_set(err, -EOPNOTSUPP,
					"the kernel's symbols do not tell its idle tasks");
		if (rc <= 0)
			continue;
		rc = follow(ts, at, &task, sizeof(task), err);
		if (rc || !task || task == init)
			continue;
		rc = read_task(ts, task, raw, err);
		if (!rc)
			rc = add_task(ts, task, raw, true, err);
	}
	return rc;
}

/* THREAD_SIZE, by what the linker leaves for the first task's stack. */
static int find_stack_size(struct vp_tasks *ts, uint64_t init, uint8_t *raw, struct vp_err *err)
{
	vp_gva start, end;
	uint64_t size;
	int rc;

	if ((!vp_linux_find(ts->l, "__start_init_stack", &start) ||
	     !vp_linux_find(ts->l, "__end_init_stack", &end)) &&
	    (!vp_linux_find(ts->l, "__start_init_task", &start) ||
	     !vp_linux_find(ts->l, "__end_init_task", &end)))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols do not tell how large its stacks are");
	size = end.v - start.v;
	rc = read_task(ts, init, raw, err);
	if (rc)
		return rc;
	if (size < 0x2000 || size > 0x20000 || size & (size - 1) ||
	    word(ts, raw, ts->l->tasks_at.stack) != start.v)
		return vp_err_set(err, -EOPNOTSUPP,
				  "the stack of the kernel's first task is not where it is known");
	ts->stack_size = size;
	return 0;
}

int vp_tasks_read(struct vp_tasks *ts, struct vp_err *err)
{
	const struct vp_task_layout *y = &ts->l->tasks_at;
	uint8_t *raw;
	vp_gva init;
	int rc;

	ts->n = 0;
	ts->tasks_near.ahead = ts->others_near.ahead = AHEAD;
	if (!y->known || !vp_linux_find(ts->l, "init_task", &init))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's %s does not tell where its tasks are",
				  y->known ? "symbol table" : "type information");
	raw = malloc(y->end - y->low);
	if (!raw)
		return vp_err_set(err, -ENOMEM, "out of memory for a list of tasks");
	rc = find_stack_size(ts, init.v, raw, err);
	if (!rc)
		rc = read_list(ts, init.v, raw, err);
	if (!rc)
		rc = read_idle(ts, init.v, raw, err);
	free(raw);
	vp_view_free(&ts->tasks_near);
	vp_view_free(&ts->others_near);
	return rc;
}

void vp_tasks_free(struct vp_tasks *ts)
{
	free(ts->t);
	ts->t = NULL;
	ts->n = ts->cap = 0;
}
