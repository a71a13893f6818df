/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vp_local_probe() on hosts of each kind. The tiny VM is executed here: by its own page tables,
 * descriptor tables and registers, for the few instructions that it has.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "target/local_probe.h"
#include "unit.h"
#include "x86/walk.h"

#define KVM_FD 200000
#define VM_FD  200001

enum host {
	HOST_INTERCEPTS, /* VMX, SVM */
	HOST_EMULATES,	 /* kernel mode, in software */
	HOST_LOSES_IT,	 /* the guest's handler gets the int3, and nobody else */
	HOST_SILENT,	 /* as HOST_EMULATES, but it does not say on what it failed */
};

static struct {
	enum host host;
	bool stuck;	     /* after the exit it fails at the same place, whatever stands there */
	bool bad_length;     /* of a reinjected int3: RIP is one too far */
	unsigned long fails; /* this ioctl does, with EPERM */
	bool armed;
	unsigned int signals; /* how often KVM_RUN is interrupted first */
	int run_fd;
	struct kvm_run *run;
	uint8_t *ram;
	uint64_t ram_len;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	unsigned int exits;
} k;

/* --- its memory ------------------------------------------------------------------- */

static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	(void)arg;
	if (gpa.v >= k.ram_len || len > k.ram_len - gpa.v)
		return vp_err_set(err, -EFAULT, "no RAM");
	memcpy(buf, k.ram + gpa.v, len);
	return 0;
}

/* As the CPU would: by its page tables, in 64-bit mode. */
static uint8_t *at(uint64_t gva, size_t len)
{
	const struct vp_paging paging = { k.sregs.cr0, k.sregs.cr3, k.sregs.cr4, k.sregs.efer };
	const struct vp_phys_reader mem = { read_phys, NULL };
	struct vp_map map;

	assert_int_equal(vp_walk(&paging, &mem, VP_GVA(gva), &map, NULL), 0);
	assert_true((gva & 0xfff) + len <= 0x1000 && map.gpa.v + len <= k.ram_len);
	return k.ram + map.gpa.v;
}

static uint64_t quad(uint64_t gva)
{
	uint64_t v;

	memcpy(&v, at(gva, 8), 8);
	return v;
}

static void push(uint64_t v)
{
	k.regs.rsp -= 8;
	memcpy(at(k.regs.rsp, 8), &v, 8);
}

/* --- its CPU ---------------------------------------------------------------------- */

/* Through the IDT and the GDT (SDM vol. 3, 6.14). */
static void interrupt(unsigned int vector, uint64_t rip)
{
	uint64_t low, high, code, rsp = k.regs.rsp;

	assert_true(vector * 16 + 15 <= k.sregs.idt.limit);
	low = quad(k.sregs.idt.base + vector * 16);
	high = quad(k.sregs.idt.base + vector * 16 + 8);
	assert_int_equal(low >> 40 & 0x9f, 0x8e); /* present, DPL 0, interrupt gate */
	assert_int_equal(low >> 32 & 7, 0);	  /* no IST */
	assert_int_equal(low >> 16 & 0xffff, k.sregs.cs.selector);
	assert_true((low >> 16 & 0xfff8) + 7 <= k.sregs.gdt.limit);
	code = quad(k.sregs.gdt.base + (low >> 16 & 0xfff8));
	assert_int_equal(code >> 40 & 0xfb, 0x9b); /* present, DPL 0, code */
	assert_true(code >> 53 & 1);		   /* 64-bit */
	k.regs.rsp &= ~0xfull;
	push(k.sregs.ss.selector);
	push(rsp);
	push(k.regs.rflags);
	push(k.sregs.cs.selector);
	push(rip);
	k.regs.rip = (low & 0xffff) | (low >> 48) << 16 | high << 32;
}

static void exit_by_int3(void)
{
	struct kvm_run *r = k.run;

	k.exits++;
	if (k.host == HOST_INTERCEPTS) {
		r->exit_reason = KVM_EXIT_DEBUG;
		r->debug.arch.exception = BP_VECTOR;
		return;
	}
	r->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(&r->emulation_failure, 0, sizeof(r->emulation_failure));
	r->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	k.events.exception.injected = 1;
	k.events.exception.nr = UD_VECTOR;
	if (k.host == HOST_SILENT)
		return;
	r->internal.ndata = 4;
	r->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	r->emulation_failure.insn_size = 1;
	r->emulation_failure.insn_bytes[0] = VP_INT3;
}

/* The exception that is to be injected comes first. */
static void inject(void)
{
	uint8_t nr = k.events.exception.nr;

	if (!k.events.exception.injected)
		return;
	k.events.exception.injected = 0;
	assert_int_equal(nr, BP_VECTOR); /* never the #UD of a failure */
	interrupt(nr, k.regs.rip + (k.host == HOST_INTERCEPTS) + k.bad_length);
}

static bool exits_at_int3(void)
{
	if (k.armed && k.host != HOST_LOSES_IT) {
		exit_by_int3();
		return true;
	}
	interrupt(BP_VECTOR, k.regs.rip + 1);
	return false;
}

static int run(void)
{
	if (k.signals && k.signals--) {
		errno = EINTR;
		return -1;
	}
	if (k.run->immediate_exit) {
		errno = EINTR;
		return -1;
	}
	inject();
	for (;;) {
		const uint8_t *code = at(k.regs.rip, 4);

		if (k.stuck && k.exits) {
			exit_by_int3();
			return 0;
		}
		switch (code[0]) {
		case VP_INT3:
			if (exits_at_int3())
				return 0;
			break;
		case 0x90:
			k.regs.rip++;
			break;
		case 0xe6:
			k.regs.rip += 2;
			k.run->exit_reason = KVM_EXIT_IO;
			k.run->io.port = code[1];
			return 0;
		case 0x48:
			assert_memory_equal(code, "\x48\x8b\x04\x24", 4);
			k.regs.rax = quad(k.regs.rsp);
			k.regs.rip += 4;
			break;
		default:
			k.run->exit_reason = KVM_EXIT_HLT;
			return 0;
		}
	}
}

static int start_vcpu(void)
{
	k.run_fd = memfd_create("run", MFD_CLOEXEC);
	assert_int_equal(ftruncate(k.run_fd, 0x1000), 0);
	k.run = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, k.run_fd, 0);
	assert_true(k.run != MAP_FAILED);
	return k.run_fd;
}

static int set_memory(const struct kvm_userspace_memory_region *slot)
{
	assert_int_equal(slot->guest_phys_addr, 0);
	k.ram = (uint8_t *)(uintptr_t)slot->userspace_addr;
	k.ram_len = slot->memory_size;
	return 0;
}

static int answer(unsigned long request, void *arg)
{
	struct kvm_guest_debug debug;

	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_GET_VCPU_MMAP_SIZE:
		return 0x1000;
	case KVM_CREATE_VM:
		return VM_FD;
	case KVM_CREATE_VCPU:
		return start_vcpu();
	case KVM_SET_USER_MEMORY_REGION:
		return set_memory(arg);
	case KVM_GET_REGS:
		memcpy(arg, &k.regs, sizeof(k.regs));
		return 0;
	case KVM_SET_REGS:
		memcpy(&k.regs, arg, sizeof(k.regs));
		return 0;
	case KVM_GET_SREGS:
		memcpy(arg, &k.sregs, sizeof(k.sregs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&k.sregs, arg, sizeof(k.sregs));
		return 0;
	case KVM_GET_VCPU_EVENTS:
		memcpy(arg, &k.events, sizeof(k.events));
		return 0;
	case KVM_SET_VCPU_EVENTS:
		memcpy(&k.events, arg, sizeof(k.events));
		return 0;
	case KVM_SET_GUEST_DEBUG:
		memcpy(&debug, arg, sizeof(debug));
		k.armed = debug.control & KVM_GUESTDBG_USE_SW_BP;
		return 0;
	case KVM_RUN:
		return run();
	default:
		return 0; /* CPUID, the TSS address */
	}
}

static bool kvm(int fd, unsigned long request, void *arg, int *rc)
{
	if (fd != KVM_FD && fd != VM_FD && (k.run_fd < 0 || fd != k.run_fd))
		return false;
	if (request == k.fails) {
		errno = EPERM;
		*rc = -1;
	} else {
		*rc = answer(request, arg);
	}
	return true;
}

/* --- the tests --------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	memset(&k, 0, sizeof(k));
	k.run_fd = -1;
	fake_kvm_other = kvm;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (k.run)
		munmap(k.run, 0x1000);
	fake_kvm_other = NULL;
	return 0;
}

static void again(enum host host)
{
	void *none = NULL;

	teardown(&none);
	setup(&none);
	k.host = host;
}

/* Nothing of the VM is left open. */
static void expect_gone(void)
{
	if (k.run_fd < 0)
		return;
	assert_int_equal(fcntl(k.run_fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
}

static void expect_route(enum vp_trap_route want)
{
	enum vp_trap_route route = (enum vp_trap_route)77;
	struct vp_err err = { "" };

	if (vp_local_probe(KVM_FD, &route, &err))
		fail_msg("%s", err.text);
	assert_int_equal(route, want);
	expect_gone();
}

static void test_routes(void **state)
{
	(void)state;
	expect_route(VP_ROUTE_DEBUG);
	again(HOST_EMULATES);
	expect_route(VP_ROUTE_INTERNAL_ERROR);
	again(HOST_LOSES_IT);
	expect_route(VP_ROUTE_NONE);
	again(HOST_SILENT);
	expect_route(VP_ROUTE_NONE);
}

static void test_signals(void **state)
{
	(void)state;
	k.signals = 3;
	expect_route(VP_ROUTE_DEBUG);
}

/* An exit alone is not enough. */
static void test_half_a_route(void **state)
{
	struct vp_local_found found;

	(void)state;
	k.stuck = true;
	assert_int_equal(vp_local_look(KVM_FD, &found, NULL), 0);
	assert_int_equal(found.route, VP_ROUTE_DEBUG);
	assert_false(found.rerun_ok);
	assert_int_equal(vp_local_route(&found), VP_ROUTE_NONE);
	again(HOST_EMULATES);
	k.bad_length = true;
	assert_int_equal(vp_local_look(KVM_FD, &found, NULL), 0);
	assert_int_equal(found.route, VP_ROUTE_INTERNAL_ERROR);
	assert_true(found.rerun_ok);
	assert_false(found.inject_ok);
	assert_int_equal(vp_local_route(&found), VP_ROUTE_NONE);
	again(HOST_INTERCEPTS);
	k.fails = KVM_SET_GUEST_DEBUG;
	expect_route(VP_ROUTE_NONE);
}

static void test_no_kvm(void **state)
{
	static const unsigned long needed[] = {
		KVM_CREATE_VM,		 KVM_CREATE_VCPU, KVM_SET_USER_MEMORY_REGION,
		KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2,  KVM_GET_SREGS,
		KVM_SET_SREGS,
	};
	enum vp_trap_route route = VP_ROUTE_DEBUG;
	struct vp_err err = { "" };

	(void)state;
	assert_int_equal(vp_local_probe(-1, &route, &err), -EINVAL);
	assert_non_null(strstr(err.text, "/dev/kvm"));
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		again(HOST_INTERCEPTS);
		k.fails = needed[i];
		assert_int_equal(vp_local_probe(KVM_FD, &route, &err), -EPERM);
		assert_non_null(strstr(err.text, "probing KVM"));
		expect_gone();
	}
	assert_int_equal(route, VP_ROUTE_DEBUG); /* an error leaves it alone */
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_routes),
		T(test_signals),
		T(test_half_a_route),
		T(test_no_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
