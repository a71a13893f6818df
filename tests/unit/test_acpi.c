/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables as an operating system reads them: by the bytes, from the RSDP on. */
#include "unit.h"
#include "vmm/kernel.h"

#define RAM (2ull << 20)

static struct vp_ram ram;

static int setup(void **state)
{
	(void)state;
	ram = (struct vp_ram){ calloc(1, RAM), RAM };
	assert_non_null(ram.base);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(ram.base);
	return 0;
}

/* A number of @n bytes at @p. */
static uint64_t get(const uint8_t *p, size_t n)
{
	uint64_t value = 0;

	while (n--)
		value = value << 8 | p[n];
	return value;
}

static unsigned int sum(const uint8_t *p, size_t n)
{
	unsigned int s = 0;

	while (n--)
		s += *p++;
	return s & 0xff;
}

static const uint8_t *rsdp(unsigned int vcpus)
{
	const uint8_t *p = ram.base + vp_acpi_write(&ram, vcpus);

	/* Where a BIOS would have it: 16-byte aligned in the last 128 KiB below 1 MiB. */
	assert_true(p >= ram.base + 0xe0000 && p < ram.base + 0x100000);
	assert_int_equal((p - ram.base) % 16, 0);
	assert_memory_equal(p, "RSD PTR ", 8);
	assert_int_equal(p[15], 2);
	assert_int_equal(get(p + 20, 4), 36);
	assert_int_equal(sum(p, 20), 0);
	assert_int_equal(sum(p, 36), 0);
	return p;
}

/* A table with its header in order. */
static const uint8_t *table_at(uint64_t gpa, const char *signature, size_t *len)
{
	const uint8_t *p = ram.base + gpa;

	assert_true(gpa >= 0xe0000 && gpa < 0x100000);
	*len = get(p + 4, 4);
	assert_true(gpa + *len <= 0x100000);
	assert_memory_equal(p, signature, 4);
	assert_int_equal(sum(p, *len), 0);
	return p;
}

static const uint8_t *find(unsigned int vcpus, const char *signature, size_t *len)
{
	const uint8_t *xsdt = table_at(get(rsdp(vcpus) + 24, 8), "XSDT", len);
	size_t at, end = *len;

	for (at = 36; at < end; at += 8)
		if (!memcmp(ram.base + get(xsdt + at, 8), signature, 4))
			return table_at(get(xsdt + at, 8), signature, len);
	fail_msg("no %s", signature);
	return NULL;
}

/* ACPI 6.3, table 5-33 */
static void test_fadt(void **state)
{
	const uint8_t *dsdt, *fadt, *facs;
	size_t len;

	(void)state;
	fadt = find(1, "FACP", &len);
	assert_int_equal(len, 276);
	assert_int_equal(get(fadt + 46, 2), 9);		   /* SCI_INT */
	assert_int_equal(get(fadt + 48, 4), 0);		   /* SMI_CMD: ACPI is on already */
	assert_int_equal(get(fadt + 56, 4), 0x600);	   /* PM1a_EVT_BLK */
	assert_int_equal(get(fadt + 64, 4), 0x604);	   /* PM1a_CNT_BLK */
	assert_int_equal(fadt[88], 4);			   /* PM1_EVT_LEN */
	assert_int_equal(fadt[89], 2);			   /* PM1_CNT_LEN */
	assert_int_equal(fadt[108], 0x32);		   /* CENTURY */
	assert_int_equal(get(fadt + 109, 2) & 2, 0);	   /* no keyboard controller */
	assert_int_equal(get(fadt + 109, 2) & 4, 4);	   /* no VGA */
	assert_int_equal(get(fadt + 112, 4) >> 10 & 1, 1); /* RESET_REG_SUP */
	assert_int_equal(fadt[116], 1);			   /* RESET_REG: I/O */
	assert_int_equal(get(fadt + 120, 8), 0xcf9);
	assert_int_equal(fadt[128], 6); /* RESET_VALUE */
	assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8));
	facs = ram.base + get(fadt + 36, 4);
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal((facs - ram.base) % 64, 0);
	assert_int_equal(get(facs + 4, 4), 64);

	dsdt = table_at(get(fadt + 140, 8), "DSDT", &len);
	assert_int_equal(len, 36 + 14);
	assert_memory_equal(dsdt + 36, "\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00", 14);
}

static void check_madt(unsigned int vcpus)
{
	unsigned int cpus = 0, ioapics = 0;
	const uint8_t *madt;
	size_t len, at;

	madt = find(vcpus, "APIC", &len);
	assert_int_equal(get(madt + 36, 4), 0xfee00000);
	for (at = 44; at < len; at += madt[at + 1]) {
		assert_true(madt[at + 1] >= 2 && at + madt[at + 1] <= len);
		if (madt[at] == 0) {
			assert_int_equal(madt[at + 3], cpus++); /* the APIC id */
			assert_int_equal(get(madt + at + 4, 4), 1);
		}
		if (madt[at] == 1) {
			assert_int_equal(get(madt + at + 4, 4), 0xfec00000);
			assert_int_equal(get(madt + at + 8, 4), 0);
			ioapics++;
		}
	}
	assert_int_equal(cpus, vcpus);
	assert_int_equal(ioapics, 1);
}

static void test_madt(void **state)
{
	(void)state;
	check_madt(1);
	check_madt(2);
	check_madt(VP_VCPU_MAX);
	check_madt(3); /* and nothing is left of the longer one */
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fadt),
		TEST(test_madt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
