/* SPDX-License-Identifier: Apache-2.0 */
#include "linux_tasks.h"

#include <assert.h>
#include <bpf/btf.h>
#include <string.h>

static void field(struct btf *btf, const char *name, int type, uint32_t off)
{
	assert(!btf__add_field(btf, name, type, off * 8, 0));
}

static void add_cpu(struct btf *btf, int u32, int u64)
{
	int caps = btf__add_array(btf, u32, u32, LG_CAP_WORDS);
	int both = btf__add_union(btf, NULL, 4 * LG_CAP_WORDS);

	field(btf, "x86_capability", caps, 0);
	field(btf, "x86_capability_alignment", u64, 0);
	assert(btf__add_struct(btf, "cpuinfo_x86", 0x80) > 0);
	field(btf, NULL, both, LG_CAPS);
	assert(btf__add_enum(btf, "cpuid_leafs", 4) > 0);
	assert(!btf__add_enum_value(btf, "CPUID_1_EDX", 0));
	assert(!btf__add_enum_value(btf, "CPUID_8000_001F_EAX", 19));
}

/* Since 7.0 or so on_cpu is a byte, with others behind it. */
static bool has_byte(const struct linux_guest *g)
{
	return g->opts.layout == LG_7_0;
}

void lg_add_task_types(const struct linux_guest *g, struct btf *btf, int list, int pointer, int u32,
		       int u64)
{
	int chars = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	int comm = btf__add_array(btf, u32, chars, 16);
	int ret = btf__add_struct(btf, "ftrace_ret_stack", LG_RET_ENTRY);
	int rets = btf__add_ptr(btf, ret);
	int thread = btf__add_struct(btf, "thread_struct", 0x40);

	field(btf, "sp", u64, 8);
	assert(btf__add_struct(btf, "signal_struct", 0x40) > 0);
	field(btf, "thread_head", list, LG_THREAD_HEAD);
	assert(btf__add_struct(btf, "task_struct", 0x400) > 0);
	field(btf, "flags", u64, 0);
	field(btf, "stack", pointer, LG_T_STACK);
	field(btf, "on_cpu", has_byte(g) ? chars : u32, LG_T_ON_CPU);
	field(btf, "prio", u32, 0x70);
	field(btf, "policy", u32, 0x74);
	field(btf, "pid", u32, LG_T_PID);
	field(btf, "tasks", list, LG_T_TASKS);
	field(btf, "thread_node", list, LG_T_THREAD_NODE);
	field(btf, "signal", pointer, LG_T_SIGNAL);
	field(btf, "comm", comm, LG_T_COMM);
	field(btf, "ret_stack", rets, LG_T_RET_STACK);
	field(btf, "curr_ret_stack", u32, LG_T_RET_DEPTH);
	field(btf, "rethooks", pointer, LG_T_RETHOOKS);
	field(btf, "thread", thread, LG_T_SP - 8);
	add_cpu(btf, u32, u64);
}

/* A list whose head is at @head, of @n nodes. */
static void link_up(struct linux_guest *g, uint32_t head, const uint32_t *nodes, unsigned int n)
{
	uint32_t before = head;

	for (unsigned int i = 0; i < n; i++) {
		lg_put(g, before, g->text + nodes[i], 8);
		lg_put(g, nodes[i] + 8, g->text + before, 8);
		before = nodes[i];
	}
	lg_put(g, before, g->text + head, 8);
	lg_put(g, head + 8, g->text + before, 8);
}

static void write_lists(struct linux_guest *g)
{
	const uint32_t leaders[] = { LG_TASK(2) + LG_T_TASKS, LG_TASK(4) + LG_T_TASKS };
	const uint32_t two[] = { LG_TASK(2) + LG_T_THREAD_NODE, LG_TASK(3) + LG_T_THREAD_NODE };
	const uint32_t one[] = { LG_TASK(4) + LG_T_THREAD_NODE };

	link_up(g, LG_TASK(0) + LG_T_TASKS, leaders, 2);
	link_up(g, LG_SIGNALS + LG_THREAD_HEAD, two, 2);
	link_up(g, LG_SIGNALS + 0x40 + LG_THREAD_HEAD, one, 1);
	for (uint32_t i = 2; i < LG_NTASKS; i++)
		lg_put(g, LG_TASK(i) + LG_T_SIGNAL, g->text + LG_SIGNALS + (i == 4 ? 0x40 : 0), 8);
}

static void write_cpus(struct linux_guest *g)
{
	lg_put(g, LG_NR_CPUS, 2, 4);
	lg_put(g, LG_POSSIBLE, 3, 8);
	lg_put(g, LG_PERCPU + 8, 8, 8);
	lg_put(g, LG_IDLE, g->text + LG_TASK(0), 8);
	lg_put(g, LG_IDLE + 8, g->text + LG_TASK(1), 8);
	lg_put(g, LG_IRQ_TOP, g->text + LG_TOP(5) - 8, 8);
	lg_put(g, LG_IRQ_TOP + 8, g->text + LG_TOP(6) - 8, 8);
	lg_put(g, LG_CPU + LG_CAPS + 4, 0x12345678, 4);
	lg_put(g, LG_CPU + LG_CAPS + 4 * 11, 1u << 14, 4); /* X86_FEATURE_RETHUNK */
	lg_put(g, LG_CPU + LG_CAPS + 4 * 21, 0x8000, 4);
	lg_put(g, LG_THUNK, g->text + 0x700, 8);
	g->vcpus[0].cs = 0x10;
	g->vcpus[0].regs.rip = g->text + 0x900;
	g->vcpus[0].regs.gpr[VP_RSP] = g->text + LG_TOP(0) - 0x80;
	g->vcpus[1].cs = 0x33;
	g->vcpus[1].regs.rip = 0x401000;
	g->vcpus[1].regs.gpr[VP_RSP] = 0x7ffc00001000;
}

void lg_write_tasks(struct linux_guest *g)
{
	for (uint32_t i = 0; i < LG_NTASKS; i++) {
		lg_put(g, LG_TASK(i) + LG_T_STACK, g->text + LG_STACK(i), 8);
		lg_put(g, LG_TASK(i) + LG_T_SP, g->text + LG_TOP(i) - 0x200, 8);
		lg_put(g, LG_TASK(i) + LG_T_PID, i < 2 ? 0 : 10 * i, 4);
		lg_put(g, LG_TASK(i) + LG_T_ON_CPU, i == 0 || i == 4, 4);
		if (has_byte(g))
			lg_put(g, LG_TASK(i) + LG_T_ON_CPU + 1, 0xffffff, 3);
		lg_put(g, LG_TASK(i) + LG_T_RET_DEPTH, UINT32_MAX, 4); /* -1: none */
		memcpy(lg_image(g, LG_TASK(i) + LG_T_COMM), "task_N\n", 8);
		*lg_image(g, LG_TASK(i) + LG_T_COMM + 5) = (uint8_t)('0' + i);
	}
	write_lists(g);
	write_cpus(g);
}
