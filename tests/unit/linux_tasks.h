/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks, stacks and the CPU of linux_build.h's guest. Task 0 is init_task, 1 the idle task of CPU
 * 1; 2 and 3 are threads of one process, 4 is another. vCPU 0 runs task 0; vCPU 1 is in user mode,
 * in task 4.
 */
#ifndef VP_TESTS_LINUX_TASKS_H
#define VP_TESTS_LINUX_TASKS_H

#include "linux_build.h"

#define LG_NTASKS     5u
#define LG_TASKS      (LG_DATA + 0x40000u)
#define LG_TASK(i)    (LG_TASKS + 0x400u * (i))
#define LG_SIGNALS    (LG_DATA + 0x42000u)
#define LG_NR_CPUS    (LG_DATA + 0x43000u)
#define LG_POSSIBLE   (LG_DATA + 0x43008u)
#define LG_PERCPU     (LG_DATA + 0x43010u) /* __per_cpu_offset: 0 and 8 */
#define LG_IDLE	      (LG_DATA + 0x43100u)
#define LG_IRQ_TOP    (LG_DATA + 0x43120u)
#define LG_CPU	      (LG_DATA + 0x43200u)
#define LG_THUNK      (LG_DATA + 0x43300u)
#define LG_BUGS	      (LG_DATA + 0x43400u)
#define LG_STACK_SIZE 0x4000u
#define LG_STACK(i)   (LG_DATA + 0x50000u + LG_STACK_SIZE * (i)) /* 5 and 6: for interrupts */
#define LG_TOP(i)     (LG_STACK(i) + LG_STACK_SIZE)

/* In struct task_struct. */
#define LG_T_STACK	 0x08u
#define LG_T_ON_CPU	 0x10u
#define LG_T_PID	 0x14u
#define LG_T_TASKS	 0x18u
#define LG_T_THREAD_NODE 0x28u
#define LG_T_SIGNAL	 0x38u
#define LG_T_COMM	 0x40u
#define LG_T_RET_STACK	 0x50u
#define LG_T_RET_DEPTH	 0x58u
#define LG_T_RETHOOKS	 0x60u
#define LG_T_SP		 0x108u
#define LG_THREAD_HEAD	 0x08u /* in struct signal_struct */
#define LG_RET_ENTRY	 40u

/* Words of capabilities: 21, of which an enum names 20, and one of bugs. */
#define LG_CAPS	     0x08u /* in struct cpuinfo_x86 */
#define LG_CAP_WORDS 22u

struct btf;

void lg_add_task_types(const struct linux_guest *g, struct btf *btf, int list, int pointer, int u32,
		       int u64);
void lg_write_tasks(struct linux_guest *g);

#endif /* VP_TESTS_LINUX_TASKS_H */
