/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test guest: every vCPU calls the patchable functions of sites.S in a loop
 * and checks that each call behaved like one version of its site. See docs/guest-abi.md.
 *
 * A vCPU finds its own state by its stack: vCPU i runs on boot stack i, always.
 * Everything in struct tg_vcpu has one writer, that vCPU.
 */
#include <stddef.h>
#include <vmpoke/guest.h>

#include "guest/testguest.h"
#include "guest/user.h"

#define IDT_VECTORS 32
#define VECTOR_BP   3

struct idt_gate {
	uint16_t offset_low, selector, type, offset_mid;
	uint32_t offset_high, reserved;
};

/* As pushed by entry.S. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss; /* by the CPU */
};

_Static_assert(offsetof(struct trap_frame, rax) == 0x70, "F_RAX of entry.S");
_Static_assert(offsetof(struct trap_frame, rip) == 0x88, "F_RIP of entry.S");
_Static_assert(offsetof(struct trap_frame, rsp) == 0xa0, "F_RSP of entry.S");

extern const struct tg_site tg_sites[], tg_sites_end[];
extern const char tg_trap_entries[];

volatile struct tg_vcpu tg_vcpus[VP_GUEST_VCPU_MAX];
volatile struct tg_shared tg_shared;

static volatile const struct vp_boot_info *boot_info;
static volatile struct idt_gate idt[IDT_VECTORS] __attribute__((aligned(16)));

void tg_main(uint64_t id, volatile const struct vp_boot_info *info);
void tg_worker(volatile struct tg_vcpu *v);
void tg_trap(struct trap_frame *f);

static void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void print(const char *s)
{
	for (; *s; s++)
		out8(VP_PORT_CONSOLE, (uint8_t)*s);
}

static void print_hex(uint64_t value)
{
	print("0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		out8(VP_PORT_CONSOLE, (uint8_t) "0123456789abcdef"[(value >> shift) & 15]);
}

/* Where the stack of worker @id is empty. */
static uint64_t worker_stack(uint64_t id)
{
	if (TG_USER)
		return tg_user_stack(id);
	return VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS + (id + 1) * VP_GUEST_STACK_SIZE - 8;
}

/* An exception outside any site: the guest itself is broken, or badly damaged. */
static void fatal(const struct trap_frame *f, uint64_t id)
{
	print("testguest: unexpected exception ");
	print_hex(f->vector);
	print(" at ");
	print_hex(f->rip);
	print(" on vCPU ");
	print_hex(id);
	print("\n");
	asm volatile("outl %0, %w1" ::"a"((uint32_t)(TG_EXIT_FATAL + f->vector)),
		     "Nd"(VP_PORT_EXIT));
	for (;;)
		asm volatile("hlt");
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
void tg_trap(struct trap_frame *f)
{
	uint64_t stacks = VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS;
	uint64_t id = ((uint64_t)f - stacks) / VP_GUEST_STACK_SIZE;
	volatile struct tg_vcpu *v = &tg_vcpus[id];

	if (id >= VP_GUEST_VCPU_MAX)
		fatal(f, id);
	if (f->vector == VECTOR_BP && v->int3_next && f->rip == v->int3_next) {
		v->int3_next = 0;
		v->own_int3_seen++;
		return;
	}
	if (!v->site)
		fatal(f, id);
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
			out8(VP_PORT_GIVE_UP, 0);
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

/* Each vCPU writes the same values into the one IDT, so nobody need be first. */
static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uint64_t)idt };

	for (unsigned int i = 0; i < IDT_VECTORS; i++) {
		uint64_t entry = (uint64_t)tg_trap_entries + i * 16;

		idt[i].offset_low = (uint16_t)entry;
		idt[i].offset_mid = (uint16_t)(entry >> 16);
		idt[i].offset_high = (uint32_t)(entry >> 32);
		idt[i].selector = VP_GUEST_CS;
		/* Present, 64-bit interrupt gate, no IST; DPL 0, or 3 for an int3 at CPL 3. */
		idt[i].type = TG_USER && i == VECTOR_BP ? 0xee00 : 0x8e00;
	}
	/*
	 * Interrupts on, although none can arrive: there is no interrupt controller. A host that
	 * is itself emulated may leave the guest for its own interrupts, and so for our kicks,
	 * only while the guest has them on (Bochs 2.7's VMX; tests/rigs).
	 */
	asm volatile("lidt %0\n\tsti" ::"m"(idtr));
}

void tg_main(uint64_t id, volatile const struct vp_boot_info *info)
{
	volatile struct tg_vcpu *v = &tg_vcpus[id];

	boot_info = info;
	load_idt();
	/* What a removed vCPU of this number may have left behind; its counters stay. */
	v->site = 0;
	v->int3_next = 0;
	v->quiet = 0;
	if (id == 0 && v->calls == 0)
		print("testguest: up\n");
	if (TG_USER)
		tg_user_enter(id, info, tg_worker, v);
	tg_worker(v);
}
