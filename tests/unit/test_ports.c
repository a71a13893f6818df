/* SPDX-License-Identifier: Apache-2.0 */
/* Ports without a guest: who is where, power off, reset, the clock; and CPUID. */
#include "unit.h"
#include "vmm/kernel.h"

static struct vp_vm vm;

static int setup(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	vm.is_linux = true;
	vm.end_fd = -1;
	pthread_mutex_init(&vm.lock, NULL);
	pthread_cond_init(&vm.changed, NULL);
	assert_int_equal(vp_serial_new(-1, NULL, NULL, &vm.serial, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vp_serial_free(vm.serial);
	return 0;
}

static uint32_t in(uint32_t port, unsigned int size)
{
	uint8_t data[4] = { 0x11, 0x11, 0x11, 0x11 };
	uint32_t value = 0;

	vp_ports_in(&vm, port, data, size);
	memcpy(&value, data, size);
	return value;
}

static void out(uint32_t port, uint32_t value, unsigned int size)
{
	uint8_t data[4];

	memcpy(data, &value, sizeof(data));
	vp_ports_out(&vm, port, data, size);
}

static void test_nobody(void **state)
{
	(void)state;
	assert_int_equal(in(0x1234, 4), 0xffffffff);
	assert_int_equal(in(0xcfc, 4), 0xffffffff); /* no PCI */
	assert_int_equal(in(0xfffe, 4), 0xffffffff);
	assert_int_equal(in(0x3f7, 1), 0xff);
	/* Half of a wide access is the serial port's line status. */
	assert_int_equal(in(0x3fd, 1), 0x60);
	assert_int_equal(in(0x3fc, 2), 0x6000);
}

static void test_power_off(void **state)
{
	(void)state;
	assert_int_equal(in(0x604, 2), 1); /* SCI_EN */
	out(0x602, 0x0120, 2);
	assert_int_equal(in(0x602, 2), 0x0120);
	out(0x604, 5 << 10, 2);		  /* the type alone */
	out(0x604, 4 << 10 | 1 << 13, 2); /* another type */
	assert_int_equal(vm.status.end, VP_VM_RUNNING);
	out(0x604, 5 << 10 | 1 << 13, 2);
	assert_int_equal(vm.status.end, VP_VM_POWER_OFF);
}

static void test_reset(void **state)
{
	(void)state;
	out(0xcf9, 0x02, 1);
	/* PCI's address register: one of its bytes is at the same port. */
	out(0xcf8, 0x80000600, 4);
	assert_int_equal(vm.status.end, VP_VM_RUNNING);
	out(0xcf9, 0x06, 1);
	assert_int_equal(vm.status.end, VP_VM_RESET);
}

static void test_keyboard_reset(void **state)
{
	(void)state;
	assert_int_equal(in(0x64, 1), 0); /* ready for a command */
	out(0x64, 0xd1, 1);
	out(0x60, 0xfe, 1);
	assert_int_equal(vm.status.end, VP_VM_RUNNING);
	out(0x64, 0xfe, 1);
	assert_int_equal(vm.status.end, VP_VM_RESET);
}

/* Guests of docs/guest-abi.md have the serial port only. */
static void test_abi_guest(void **state)
{
	(void)state;
	vm.is_linux = false;
	assert_int_equal(in(0x604, 2), 0xffff);
	assert_int_equal(in(0x64, 1), 0xff);
	assert_int_equal(in(0x71, 1), 0xff);
	assert_int_equal(in(0x3fd, 1), 0x60);
	out(0x604, 5 << 10 | 1 << 13, 2);
	out(0xcf9, 0x06, 1);
	out(0x64, 0xfe, 1);
	assert_int_equal(vm.status.end, VP_VM_RUNNING);
}

/* 29 February 2024, 23:59:58, a Thursday */
#define LEAP_DAY 1709251198

static void test_clock(void **state)
{
	static const struct {
		unsigned int reg;
		uint8_t value;
	} all[] = {
		{ 0x00, 0x58 }, { 0x02, 0x59 }, { 0x04, 0x23 }, { 0x06, 0x05 }, { 0x07, 0x29 },
		{ 0x08, 0x02 }, { 0x09, 0x24 }, { 0x32, 0x20 }, { 0x0b, 0x02 }, { 0x0d, 0x80 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(vp_rtc_read(all[i].reg, LEAP_DAY), all[i].value);
	assert_int_equal(vp_rtc_read(0x0a, LEAP_DAY) & 0x80, 0); /* no update in progress */
	out(0x70, 0x8d, 1); /* bit 7 is not part of the number */
	assert_int_equal(in(0x71, 1), 0x80);
}

#define ENTRIES 4u

union cpuid {
	struct kvm_cpuid2 table;
	uint8_t room[sizeof(struct kvm_cpuid2) + ENTRIES * sizeof(struct kvm_cpuid_entry2)];
};

static const struct kvm_cpuid_entry2 *cpuid_of(unsigned int id, const struct vp_cpu *cpu)
{
	static const struct kvm_cpuid_entry2 supported[ENTRIES] = {
		{ .function = 0x1, .ebx = 0x07100800, .ecx = 0x00202020, .edx = 0x1fffffff },
		{ .function = 0xb, .index = 1, .eax = 4, .ebx = 8, .ecx = 0x201, .edx = 77 },
		{ .function = 0x80000001, .ecx = 0x7, .edx = 0x20100800 },
		{ .function = 0x80000002, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4 },
	};
	static union cpuid c;

	c.table.nent = ENTRIES;
	memcpy(c.table.entries, supported, sizeof(supported));
	vp_cpuid_fix(&c.table, id, cpu);
	return c.table.entries;
}

static void test_cpuid(void **state)
{
	struct vp_cpu cpu = { 0 };
	const struct kvm_cpuid_entry2 *e = cpuid_of(5, &cpu);

	(void)state;
	assert_int_equal(e[0].ebx, 0x05010800); /* APIC id 5, alone in its package */
	assert_int_equal(e[0].ecx, 0x80202000); /* a hypervisor, no VMX, still CX16 */
	assert_int_equal(e[0].edx, 0x0fffffff); /* no HTT */
	assert_int_equal(e[1].ebx, 0);
	assert_int_equal(e[1].edx, 5);
	assert_int_equal(e[2].ecx, 0x1); /* no SVM */
	assert_int_equal(e[3].ecx, 3);
	cpu = (struct vp_cpu){ .tsc_deadline = true, .no_cx16 = true };
	e = cpuid_of(0, &cpu);
	assert_int_equal(e[0].ecx, 0x81200000);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),	   TEST(test_power_off), TEST(test_reset),
		TEST(test_keyboard_reset), TEST(test_abi_guest), TEST(test_clock),
		TEST(test_cpuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
