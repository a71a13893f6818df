/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How this host's KVM reports a #BP that it intercepts, and what the guest's handler finds on its
 * stack after the #BP was given back. One line of JSON a case; all addresses count from the int3.
 *
 * Raw KVM, nothing of vmpoke: a 32-bit guest without paging, of one instruction and one handler.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define RAM	  0x10000u
#define CODE	  0x1000u
#define HANDLER	  0x2000u
#define IDT	  0x3000u
#define GDT	  0x4000u
#define STACK	  0x8000u
#define PORT_SEEN 0x80u

struct bp_case {
	const char *name;
	uint8_t code[4];
	size_t len;
	unsigned int move; /* added to RIP before the #BP is given back */
	bool kick;	   /* leave KVM_RUN at once, and again, before the guest runs */
	bool disarm;	   /* switch guest debug off before the guest runs */
};

static const struct bp_case cases[] = {
	{ .name = "plain", .code = { 0xcc }, .len = 1 },
	{ .name = "moved", .code = { 0xcc }, .len = 1, .move = 1 },
	{ .name = "prefixed", .code = { 0xf3, 0xcc }, .len = 2 },
	{ .name = "kicked", .code = { 0xcc }, .len = 1, .kick = true },
	{ .name = "disarmed", .code = { 0xcc }, .len = 1, .disarm = true },
};

static void die(const char *what)
{
	fprintf(stderr, "bp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int must(int rc, const char *what)
{
	if (rc < 0)
		die(what);
	return rc;
}

static void fill(uint8_t *ram, const struct bp_case *c)
{
	/* mov (%esp), %eax; out %al, $PORT_SEEN; hlt */
	static const uint8_t handler[] = { 0x8b, 0x04, 0x24, 0xe6, PORT_SEEN, 0xf4 };
	/* Null, flat 32-bit code, flat data. */
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	/* Interrupt gate, DPL 0, selector 8. */
	const uint64_t gate = HANDLER | 8u << 16 | 0x8e00ull << 32;

	memset(ram, 0xf4, RAM);
	memcpy(ram + CODE, c->code, c->len);
	memcpy(ram + HANDLER, handler, sizeof(handler));
	memcpy(ram + GDT, gdt, sizeof(gdt));
	memcpy(ram + IDT + BP_VECTOR * sizeof(gate), &gate, sizeof(gate));
}

static void set_state(int vcpu)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	data.selector = 16;
	data.type = 3;
	must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.cr0 |= 1;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = IDT;
	sregs.idt.limit = 32 * 8 - 1;
	must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void set_debug(int vcpu, uint32_t control)
{
	struct kvm_guest_debug debug = { .control = control };

	must(ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug), "KVM_SET_GUEST_DEBUG");
}

static void give_back(int vcpu, struct kvm_run *run, const struct bp_case *c)
{
	struct kvm_vcpu_events events;
	struct kvm_regs regs;

	must(ioctl(vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
	must(ioctl(vcpu, KVM_GET_VCPU_EVENTS, &events), "KVM_GET_VCPU_EVENTS");
	regs.rip += c->move;
	events.exception.injected = 1;
	events.exception.nr = BP_VECTOR;
	events.exception.has_error_code = 0;
	if (c->move)
		must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	must(ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events), "KVM_SET_VCPU_EVENTS");
	if (c->disarm)
		set_debug(vcpu, 0);
	run->immediate_exit = c->kick;
	for (int i = 0; i < 2 && c->kick; i++)
		if (ioctl(vcpu, KVM_RUN, 0) == 0 || errno != EINTR)
			die("KVM_RUN did not leave at once");
	run->immediate_exit = 0;
}

static void report(const struct bp_case *c, int vcpu, struct kvm_run *run)
{
	struct kvm_regs regs;
	int seen;

	must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	must(ioctl(vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
	printf("{\"case\": \"%s\", \"exit\": %u", c->name, run->exit_reason);
	if (run->exit_reason == KVM_EXIT_DEBUG) {
		printf(", \"exception\": %u, \"rip\": %lld, \"pc\": %lld",
		       run->debug.arch.exception, (long long)(regs.rip - CODE),
		       (long long)(run->debug.arch.pc - CODE));
		give_back(vcpu, run, c);
		must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		must(ioctl(vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
		seen = run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_SEEN;
		printf(", \"handled\": %s, \"handler_rip\": %lld", seen ? "true" : "false",
		       (long long)(regs.rax - CODE));
	}
	printf("}\n");
}

static void run_case(int kvm, const struct bp_case *c)
{
	struct kvm_userspace_memory_region slot = { .memory_size = RAM };
	uint8_t *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	int size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run;
	int vcpu;

	if (ram == MAP_FAILED)
		die("no memory");
	fill(ram, c);
	slot.userspace_addr = (uintptr_t)ram;
	ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* kvm_intel wants it, others may not */
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		die("cannot map kvm_run");
	set_state(vcpu);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
	report(c, vcpu, run);
}

/* What each case allocates goes with the process. */
int main(void)
{
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_case(kvm, &cases[i]);
	return 0;
}
