/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of `vmpoke bench`: every vCPU runs the code that is patched, counts its rounds, and
 * looks at its own clock: how long it stood still nobody else can tell.
 */
#include "guest/bench.h"
#include "guest/machine.h"
#include "guest/user.h"

#define NOBODYS_PORT 0x80

extern const char tb_code[], tb_behind_int3[];

volatile struct tb_vcpu tb_vcpus[VP_GUEST_VCPU_MAX];
volatile struct tb_shared tb_shared = { .blocks = 1 };

static volatile const struct vp_boot_info *boot_info;

static uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static __attribute__((noinline)) void own_int3(void)
{
	asm volatile("int3\n"
		     ".globl tb_behind_int3\n"
		     "tb_behind_int3:" ::
			     : "memory");
}

/* Only that one comes here if all is well. */
void tg_trap(struct tg_frame *f)
{
	if (f->vector != TG_VECTOR_BP || f->rip != (uint64_t)tb_behind_int3)
		tg_fatal(f, ((uint64_t)f - VP_GUEST_DIRECT_MAP - VP_GUEST_STACKS) /
				    VP_GUEST_STACK_SIZE);
}

static void do_extra(void)
{
	switch (tb_shared.extra) {
	case TB_EXIT:
		tg_out8(NOBODYS_PORT, 0);
		break;
	case TB_INT3:
		own_int3();
		break;
	}
}

static void look_at_clock(volatile struct tb_vcpu *v)
{
	uint64_t tsc = now(), gap = tsc - v->last_tsc;
	uint32_t reset = tb_shared.reset;

	if (gap > v->longest)
		v->longest = gap;
	if (v->reset != reset) {
		v->longest = 0;
		__atomic_store_n(&v->reset, reset, __ATOMIC_RELEASE);
	}
	v->last_tsc = tsc;
}

static void worker(volatile struct tb_vcpu *v)
{
	uint32_t block = 0;

	v->last_tsc = now();
	for (;;) {
		look_at_clock(v);
		if (boot_info->give_up[v - tb_vcpus])
			tg_out8(VP_PORT_GIVE_UP, 0);
		if (block >= tb_shared.blocks)
			block = 0;
		((void (*)(void))(tb_code + block * TB_BLOCK_STRIDE))();
		block++;
		do_extra();
		v->rounds++;
	}
}

void tg_main(uint64_t id, volatile const struct vp_boot_info *info)
{
	volatile struct tb_vcpu *v = &tb_vcpus[id];

	boot_info = info;
	tg_load_idt();
	if (TG_USER)
		tg_user_enter(id, info, (uint64_t)worker, (uint64_t)v);
	worker(v);
}
