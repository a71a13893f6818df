/* SPDX-License-Identifier: Apache-2.0 */
/* The boot page tables, the GDT and the entry state, held against docs/guest-abi.md. */
#include "unit.h"
#include "vmm/internal.h"
#include "x86/walk.h"

#define RAM (8ull << 20)
#define TOP (RAM - VP_GUEST_TABLES_SIZE)

static uint8_t ram_bytes[RAM];
static struct vp_boot boot;

static int setup(void **state)
{
	(void)state;
	memset(ram_bytes, 0, sizeof(ram_bytes));
	assert_int_equal(vp_boot_init(&boot, (struct vp_ram){ ram_bytes, RAM }, NULL), 0);
	return 0;
}

static int read_ram(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const void *from = vp_ram_at(&boot.ram, gpa.v, len);

	(void)err;
	(void)arg;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

/* Translate as a vCPU in the entry state does. */
static int walk(uint64_t gva, struct vp_map *map)
{
	struct vp_phys_reader mem = { read_ram, NULL };
	struct kvm_sregs s = { 0 };
	struct kvm_regs r;

	vp_boot_entry(&boot, 0, VP_GVA(0), &s, &r);
	return vp_walk(&(struct vp_paging){ s.cr0, s.cr3, s.cr4, s.efer }, &mem, VP_GVA(gva), map,
		       NULL);
}

static void test_ram_at(void **state)
{
	const struct vp_ram *ram = &boot.ram;

	(void)state;
	assert_ptr_equal(vp_ram_at(ram, 0, RAM), ram_bytes);
	assert_ptr_equal(vp_ram_at(ram, RAM - 1, 1), ram_bytes + RAM - 1);
	assert_null(vp_ram_at(ram, RAM - 1, 2));
	assert_null(vp_ram_at(ram, RAM, 1));
	assert_null(vp_ram_at(ram, UINT64_MAX, 2));
	assert_null(vp_ram_at(ram, 1, UINT64_MAX));
}

static void test_direct_map(void **state)
{
	struct vp_map map;
	uint64_t gpa;

	(void)state;
	for (gpa = 0; gpa < RAM; gpa += 0x1fffff) {
		assert_int_equal(walk(VP_GUEST_DIRECT_MAP + gpa, &map), 0);
		assert_int_equal(map.gpa.v, gpa);
		assert_int_equal(map.page_size, VP_PAGE_2M);
		assert_true(map.writable && map.nx && !map.user);
	}
	assert_int_equal(walk(VP_GUEST_DIRECT_MAP + RAM - 1, &map), 0);
	assert_int_equal(walk(VP_GUEST_DIRECT_MAP + RAM, &map), -EFAULT);
	assert_int_equal(walk(0, &map), -EFAULT);
	assert_int_equal(walk(0xffffffff80000000, &map), -EFAULT);
}

static void test_map(void **state)
{
	uint64_t at = 0xffffffff80001000;
	struct vp_map map;
	unsigned int rights;

	(void)state;
	for (rights = 0; rights < 4; rights++) {
		uint64_t gva = at + rights * VP_PAGE, gpa = 0x300000 - rights * VP_PAGE;

		assert_int_equal(vp_boot_map(&boot, gva, gpa, rights & 1, rights & 2), 0);
		assert_int_equal(walk(gva + 0xabc, &map), 0);
		assert_int_equal(map.gpa.v, gpa + 0xabc);
		assert_int_equal(map.page_size, VP_PAGE);
		assert_int_equal(map.writable, rights & 1);
		assert_int_equal(map.nx, !(rights & 2));
		assert_false(map.user);
	}
	assert_int_equal(walk(at - 1, &map), -EFAULT);
	assert_int_equal(walk(at + 4 * VP_PAGE, &map), -EFAULT);
	assert_int_equal(vp_boot_map(&boot, at, 0x200000, false, true), -EEXIST);
	assert_int_equal(vp_boot_map(&boot, VP_GUEST_DIRECT_MAP + 0x1000, 0x200000, false, true),
			 -EEXIST);
}

static void test_tables_run_out(void **state)
{
	uint64_t gva = 0;
	int rc = 0;

	(void)state;
	/* Each of these wants a page directory and a page table of its own. */
	while (!rc && gva < 1ull << 40) {
		rc = vp_boot_map(&boot, gva, 0x100000, false, true);
		gva += 1ull << 30;
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(gva > 200ull << 30);
	assert_int_equal(boot.tables, TOP);
	assert_true(boot.used * VP_PAGE <= VP_GUEST_TABLES_SIZE);
	for (gva = 0; gva < TOP; gva++)
		assert_int_equal(ram_bytes[gva], 0);
}

static void test_odd_ram(void **state)
{
	struct vp_err err = { "" };
	struct vp_boot b;

	(void)state;
	assert_int_equal(vp_boot_init(&b, (struct vp_ram){ ram_bytes, 2 << 20 }, &err), -EINVAL);
	assert_non_null(strstr(err.text, "2 MiB"));
	assert_int_equal(vp_boot_init(&b, (struct vp_ram){ ram_bytes, RAM - 4096 }, NULL), -EINVAL);
}

static void test_memory(void **state)
{
	const struct vp_boot_info *info = vp_boot_info(&boot.ram);
	struct kvm_sregs s = { 0 };
	struct kvm_regs r;
	const uint8_t *d;
	uint64_t base;

	(void)state;
	vp_boot_write(&boot, 3);
	assert_ptr_equal(info, ram_bytes + 0x1000);
	assert_memory_equal(&info->magic, "vmpoke\0\0", 8);
	assert_int_equal(info->version, 1);
	assert_int_equal(info->vcpus, 3);
	assert_int_equal(info->ram_bytes, RAM);
	assert_int_equal(info->direct_map, VP_GUEST_DIRECT_MAP);

	/* The descriptors in memory say what the hidden parts of the registers do. */
	vp_boot_entry(&boot, 0, VP_GVA(0), &s, &r);
	assert_int_equal(s.gdt.base, VP_GUEST_DIRECT_MAP + 0x2000);
	d = ram_bytes + 0x2000 + VP_GUEST_TR;
	assert_true(VP_GUEST_TR + 16 <= s.gdt.limit + 1);
	base = (uint64_t)(d[2] | d[3] << 8 | d[4] << 16) | (uint64_t)d[7] << 24 |
	       (uint64_t)d[8] << 32 | (uint64_t)d[9] << 40 | (uint64_t)d[10] << 48 |
	       (uint64_t)d[11] << 56;
	assert_int_equal(base, s.tr.base);
	assert_int_equal(d[0] | d[1] << 8, s.tr.limit);
	assert_int_equal(d[5], 0x80 | s.tr.type);
	assert_int_equal(ram_bytes[0x2000 + VP_GUEST_CS + 5], 0x9b);
	assert_int_equal(ram_bytes[0x2000 + VP_GUEST_CS + 6] & 0xf0, 0xa0); /* G, L */
	assert_int_equal(ram_bytes[0x2000 + VP_GUEST_DS + 5], 0x93);
}

static void test_entry(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	unsigned int id;

	(void)state;
	for (id = 0; id < VP_GUEST_VCPU_MAX; id++) {
		memset(&s, 0x5a, sizeof(s));
		memset(&r, 0x5a, sizeof(r));
		vp_boot_entry(&boot, id, VP_GVA(0x1234), &s, &r);
		assert_int_equal(r.rdi, id);
		assert_int_equal(r.rip, 0x1234);
		assert_int_equal(r.rflags, 2);
		assert_int_equal(r.rsi, VP_GUEST_DIRECT_MAP + 0x1000);
		assert_int_equal(r.rsp, VP_GUEST_DIRECT_MAP + 0x10000 + (id + 1) * 0x2000 - 8);
		assert_int_equal(r.rax | r.rbx | r.rcx | r.rdx | r.rbp | r.r8 | r.r15, 0);
	}
	assert_true(r.rsp < VP_GUEST_DIRECT_MAP + 0x90000);
	assert_int_equal(s.cr0, 0x80010033);
	assert_int_equal(s.cr4, 0x620);
	assert_int_equal(s.efer, 0xd01);
	assert_int_equal(s.cr3, TOP);
	assert_int_equal(s.cs.selector, 8);
	assert_true(s.cs.l && !s.cs.db && !s.cs.dpl);
	assert_int_equal(s.ss.selector, 0x10);
	assert_int_equal(s.tr.selector, 0x18);
	assert_int_equal(s.fs.base | s.gs.base | s.fs.selector | s.gs.selector, 0);
	assert_int_equal(s.idt.limit, 0);
	/* What the ABI does not speak of stays as KVM has it at power-on. */
	assert_int_equal(s.apic_base, 0x5a5a5a5a5a5a5a5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ram_at, setup),
		cmocka_unit_test_setup(test_direct_map, setup),
		cmocka_unit_test_setup(test_map, setup),
		cmocka_unit_test_setup(test_tables_run_out, setup),
		cmocka_unit_test_setup(test_odd_ram, setup),
		cmocka_unit_test_setup(test_memory, setup),
		cmocka_unit_test_setup(test_entry, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
