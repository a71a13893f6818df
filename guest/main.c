/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test guest: every vCPU calls the patchable functions of sites.S in a loop
 * and checks that each call behaved like one version of its site. See docs/guest-abi.md.
 *
 * A vCPU finds its own state by its stack: vCPU i runs on boot stack i, always.
 * Everything in struct tg_vcpu has one writer, that vCPU.
 */
#include <vmpoke/guest.h>

#include "guest/machine.h"
#include "guest/testguest.h"
#include "guest/user.h"

extern const struct tg_site tg_sites[], tg_sites_end[];

volatile struct tg_vcpu tg_vcpus[VP_GUEST_VCPU_MAX];
volatile struct tg_shared tg_shared;

static volatile const struct vp_boot_info *boot_info;

void tg_worker(volatile struct tg_vcpu *v);

/* Where the stack of worker @id is empty. */
static uint64_t worker_stack(uint64_t id)
{
	if (TG_USER)
		return tg_user_stack(id);
	return VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS + (id + 1) * VP_GUEST_STACK_SIZE - 8;
}

static void count_wrong(volatile struct tg_vcpu *v, uint64_t site, uint64_t value, uint64_t vector,
			uint64_t rip)
{
	uint32_t n = __atomic_fetch_add(&tg_shared.wrongs, 1, __ATOMIC_RELAXED);

	if (n < TG_WRONGS_MAX) {
		volatile struct tg_wrong *w = &tg_shared.wrong[n];

		w->vcpu = (uint32_t)(v - tg_vcpus);
		w->site = (uint32_t)site;
		w->value = value;
		w->vector = vector;
		w->rip = rip;
	}
	v->wrong++;
}

/*
 * Every exception comes here. Our own int3 is expected; any other exception
 * within a call is a wrong call, and the worker starts afresh with the next site.
 */
void tg_trap(struct tg_frame *f)
{
	uint64_t stacks = VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS;
	uint64_t id = ((uint64_t)f - stacks) / VP_GUEST_STACK_SIZE;
	volatile struct tg_vcpu *v = &tg_vcpus[id];

	if (id >= VP_GUEST_VCPU_MAX)
		tg_fatal(f, id);
	if (f->vector == TG_VECTOR_BP && v->int3_next && f->rip == v->int3_next) {
		v->int3_next = 0;
		v->own_int3_seen++;
		return;
	}
	if (!v->site)
		tg_fatal(f, id);
	count_wrong(v, v->site - 1, 0, f->vector, f->rip);
	v->site = 0;
	v->calls++;
	f->rip = (uint64_t)tg_worker;
	f->rdi = (uint64_t)v;
	f->rsp = worker_stack(id);
}

static void run_own_int3(volatile struct tg_vcpu *v)
{
	v->own_int3++;
	asm volatile("leaq 1f(%%rip), %%rax\n"
		     "movq %%rax, %0\n"
		     "int3\n"
		     "1:"
		     : "=m"(v->int3_next)
		     :
		     : "rax", "memory");
}

/* Do what the host asks for, between two rounds: give up this vCPU, rest. */
static void look_at_host(volatile struct tg_vcpu *v)
{
	do {
		if (boot_info->give_up[v - tg_vcpus])
			tg_out8(VP_PORT_GIVE_UP, 0);
		v->quiet = tg_shared.quiesce;
		asm volatile("pause" ::: "memory");
	} while (v->quiet);
}

static void call_site(volatile struct tg_vcpu *v, uint64_t i)
{
	const struct tg_site *s = &tg_sites[i];
	uint64_t value;

	v->site = i + 1;
	value = ((uint64_t(*)(void))s->fn)();
	v->site = 0;
	if (value != s->version[0].result && value != s->version[1].result &&
	    value != s->version[2].result)
		count_wrong(v, i, value, TG_NO_VECTOR, 0);
	v->calls++;
}

/* Also entered by tg_trap(), with the stack empty: keeps nothing in locals. */
void tg_worker(volatile struct tg_vcpu *v)
{
	for (;;) {
		uint64_t i = v->next;

		if (&tg_sites[i] == tg_sites_end) {
			look_at_host(v);
			i = 0;
		}
		v->next = i + 1;
		call_site(v, i);
		if (v->calls % TG_INT3_EVERY == 0)
			run_own_int3(v);
	}
}

void tg_main(uint64_t id, volatile const struct vp_boot_info *info)
{
	volatile struct tg_vcpu *v = &tg_vcpus[id];

	boot_info = info;
	tg_load_idt();
	/* What a removed vCPU of this number may have left behind; its counters stay. */
	v->site = 0;
	v->int3_next = 0;
	v->quiet = 0;
	if (id == 0 && v->calls == 0)
		tg_print("testguest: up\n");
	if (TG_USER)
		tg_user_enter(id, info, (uint64_t)tg_worker, (uint64_t)v);
	tg_worker(v);
}
