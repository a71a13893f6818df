/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux finds at its entry: zero page, memory map, command line, initrd, tables, registers. */
#include "unit.h"
#include "vmm/kernel.h"
#include "x86/walk.h"

#define RAM	 (8ull << 20)
#define KERNEL	 0x100000u
#define KEND	 0x300000u
#define E820_RAM 1u

static struct vp_ram ram;
static struct vp_kernel kernel;
static struct vp_err err;

static int setup(void **state)
{
	(void)state;
	ram = (struct vp_ram){ calloc(1, RAM), RAM };
	assert_non_null(ram.base);
	kernel = (struct vp_kernel){
		.entry = KERNEL + 0x200,
		.start = KERNEL,
		.end = KEND,
		.header = { .initrd_addr_max = 0x7fffffff, .cmdline_size = 64 },
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(ram.base);
	return 0;
}

static struct boot_params *zero(void)
{
	return (struct boot_params *)(void *)(ram.base + VP_LINUX_ZERO);
}

static int boot(const char *append, const void *initrd, size_t len)
{
	const struct vp_linux_boot b = { initrd, len, append, 2 };

	return vp_linux_write(&ram, &kernel, &b, &err);
}

static void test_cmdline(void **state)
{
	char text[64] = "";

	(void)state;
	assert_int_equal(boot(NULL, NULL, 0), 0);
	assert_int_equal(zero()->hdr.cmd_line_ptr, VP_LINUX_CMDLINE);
	assert_string_equal((char *)ram.base + VP_LINUX_CMDLINE, "console=ttyS0");
	assert_int_equal(boot("quiet nokaslr", NULL, 0), 0);
	assert_string_equal((char *)ram.base + VP_LINUX_CMDLINE, "console=ttyS0 quiet nokaslr");
	memset(text, 'x', 50); /* 14 + 50 = 64: as long as may be */
	assert_int_equal(boot(text, NULL, 0), 0);
	text[50] = 'x';
	assert_int_equal(boot(text, NULL, 0), -EINVAL);
	assert_non_null(strstr(err.text, "has 65 bytes, this kernel takes 64"));
	kernel.header.cmdline_size = UINT32_MAX;
	assert_int_equal(boot(text, NULL, 0), 0);
}

static void test_initrd(void **state)
{
	static uint8_t initrd[RAM - KEND];

	(void)state;
	memset(initrd, 0x5a, sizeof(initrd));
	assert_int_equal(boot(NULL, initrd, 5000), 0);
	assert_int_equal(zero()->hdr.ramdisk_size, 5000);
	assert_int_equal(zero()->hdr.ramdisk_image, RAM - 2 * 4096);
	assert_memory_equal(ram.base + zero()->hdr.ramdisk_image, initrd, 5000);
	/* No higher than the kernel wants it. */
	kernel.header.initrd_addr_max = 0x4fffff;
	assert_int_equal(boot(NULL, initrd, 5000), 0);
	assert_int_equal(zero()->hdr.ramdisk_image, 0x500000 - 2 * 4096);
	kernel.header.initrd_addr_max = 0x7fffffff;
	/* All that is left, and one byte more. */
	assert_int_equal(boot(NULL, initrd, RAM - KEND), 0);
	assert_int_equal(zero()->hdr.ramdisk_image, KEND);
	kernel.end = KEND + 1;
	assert_int_equal(boot(NULL, initrd, RAM - KEND), -EINVAL);
	assert_non_null(strstr(err.text, "give more --memory"));
	kernel.header.initrd_addr_max = 100;
	assert_int_equal(boot(NULL, initrd, 5000), -EINVAL);
}

/* Usable memory: all but the hole of a PC, and neither overlaps nor leaves RAM. */
static void test_memory_map(void **state)
{
	uint64_t usable = 0, last = 0;
	unsigned int i;

	(void)state;
	assert_int_equal(boot(NULL, NULL, 0), 0);
	for (i = 0; i < zero()->e820_entries; i++) {
		const struct boot_e820_entry *e = &zero()->e820_table[i];

		assert_true(e->addr >= last);
		last = e->addr + e->size;
		if (e->type == E820_RAM)
			usable += e->size;
		else
			assert_false(e->addr > VP_LINUX_ACPI + VP_PAGE && e->addr < KERNEL);
	}
	assert_int_equal(last, RAM);
	assert_int_equal(usable, RAM - 0x100000 + VP_LINUX_LOW_END);
	assert_int_equal(zero()->acpi_rsdp_addr, VP_LINUX_ACPI);
	assert_int_equal(zero()->hdr.type_of_loader, 0xff);
	assert_int_equal(zero()->sentinel, 0);
}

static int read_ram(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *why)
{
	const void *from = vp_ram_at(arg, gpa.v, len);

	(void)why;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

/* The first 4 GiB are mapped onto themselves, and nothing else is. */
static void test_tables(void **state)
{
	const struct vp_phys_reader mem = { read_ram, &ram };
	struct vp_entry entry = { 0 };
	struct vp_paging p;
	struct vp_map map;
	uint64_t at;

	(void)state;
	assert_int_equal(boot(NULL, NULL, 0), 0);
	vp_linux_entry(&kernel, 0, &entry);
	p = (struct vp_paging){ entry.sregs.cr0, entry.sregs.cr3, entry.sregs.cr4,
				entry.sregs.efer };
	for (at = 0x123; at < 4ull << 30; at += 0x3fffff) {
		assert_int_equal(vp_walk(&p, &mem, VP_GVA(at), &map, NULL), 0);
		assert_int_equal(map.gpa.v, at);
		assert_true(map.writable && !map.nx);
	}
	assert_int_equal(vp_walk(&p, &mem, VP_GVA(4ull << 30), &map, NULL), -EFAULT);
}

static void test_registers(void **state)
{
	struct vp_entry entry;
	const uint64_t *gdt;

	(void)state;
	assert_int_equal(boot(NULL, NULL, 0), 0);
	memset(&entry, 0, sizeof(entry));
	entry.sregs.cr0 = 0x60000010; /* power-on: caches off */
	vp_linux_entry(&kernel, 0, &entry);
	assert_false(entry.waits);
	assert_int_equal(entry.regs.rip, KERNEL + 0x200);
	assert_int_equal(entry.regs.rsi, VP_LINUX_ZERO);
	assert_int_equal(entry.regs.rflags, 2); /* interrupts off */
	assert_int_equal(entry.sregs.cr0, 0x80000011);
	assert_int_equal(entry.sregs.efer, 0x500);
	assert_true(entry.sregs.cs.l && entry.sregs.cs.selector == 0x10);
	assert_true(entry.sregs.ss.selector == 0x18 && entry.sregs.ds.selector == 0x18);
	/* What the selectors stand for when they are loaded again. */
	gdt = vp_ram_at(&ram, entry.sregs.gdt.base, 32);
	assert_int_equal(entry.sregs.gdt.limit, 31);
	assert_int_equal(gdt[2], 0x00af9b000000ffff);
	assert_int_equal(gdt[3], 0x00cf93000000ffff);
	/* The others stay at power-on and wait. */
	memset(&entry, 0x5a, sizeof(entry));
	vp_linux_entry(&kernel, 1, &entry);
	assert_true(entry.waits);
	assert_int_equal(entry.regs.rip, 0x5a5a5a5a5a5a5a5a);
}

static void test_little_ram(void **state)
{
	const struct vp_linux_boot b = { .vcpus = 1 };
	struct vp_ram little = { ram.base, 0x80000 };

	(void)state;
	assert_int_equal(vp_linux_write(&little, &kernel, &b, &err), -EINVAL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cmdline), TEST(test_initrd),	  TEST(test_memory_map),
		TEST(test_tables),  TEST(test_registers), TEST(test_little_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
