/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All tasks of the guest: the list that begins with init_task, the threads of each process, and the
 * idle tasks, which are in no list.
 */
#ifndef VP_LINUX_TASKS_H
#define VP_LINUX_TASKS_H

#include "linux/gather.h"
#include "linux/view.h"

#define VP_TASKS_MAX	 (1u << 16)
#define VP_TASK_COMM_LEN 16u

struct vp_task {
	uint64_t addr, stack, sp; /* stack: its lowest address; 0: it has none any more */
	int32_t pid;
	bool idle, on_cpu;
	char comm[VP_TASK_COMM_LEN + 1]; /* printable */
	uint64_t ret_stack;		 /* of function-graph tracing; 0: none */
	int32_t ret_depth;
	uint64_t hooks; /* of kretprobes and rethooks: not 0 if there are any */
};

struct vp_tasks {
	struct vp_linux *l;
	struct vp_task *t;
	size_t n, cap;
	uint64_t stack_size;			/* THREAD_SIZE */
	const struct vp_gather *seen;		/* what is read from here first; NULL: nothing */
	struct vp_gather *learn;		/* what was read is added to it; NULL: not */
	struct vp_view tasks_near, others_near; /* what was read ahead, while that goes on */
};

/*
 * Read them afresh. With every vCPU held they are consistent; else what is not is noticed as far as
 * lists show it.
 *  -EAGAIN      a list changed while it was read, or makes no sense
 *  -EOPNOTSUPP  this kernel's symbols or type information do not tell
 *  -E2BIG, -ENOMEM, or as the target's read()
 */
int vp_tasks_read(struct vp_tasks *tasks, struct vp_err *err);
void vp_tasks_free(struct vp_tasks *tasks);

/* Memory, from what was seen or, if it is not there, from the guest. */
int vp_tasks_get(struct vp_tasks *tasks, uint64_t addr, void *buf, size_t len, struct vp_err *err);

/* Where the variable @name of CPU @cpu is. 1: yes; 0: there is no such CPU, or no such variable. */
int vp_percpu_find(struct vp_tasks *tasks, const char *name, unsigned int cpu, uint64_t *out,
		   struct vp_err *err);
int vp_cpu_count(struct vp_tasks *tasks, uint32_t *out, struct vp_err *err);

#endif /* VP_LINUX_TASKS_H */
