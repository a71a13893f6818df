/* SPDX-License-Identifier: Apache-2.0 */
/* Good and hostile ELF files against the loader. */
#include "unit.h"
#include "vmm/internal.h"
#include "x86/walk.h"
#include <elf.h>

#define RAM    (4ull << 20)
#define TOP    (RAM - VP_GUEST_TABLES_SIZE)
#define TEXT   0xffffffff80100000ull
#define MAX_PH 400u

/* A file of three parts: header, program headers, data. */
struct file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[MAX_PH];
	uint8_t data[0x3000];
};

struct rig {
	struct vp_ram ram;
	struct vp_boot boot;
	struct vp_image image;
	struct vp_err err;
	struct file f;
};

static struct rig rig;

static Elf64_Phdr *add_load(uint32_t flags, uint64_t vaddr, uint64_t paddr, uint64_t filesz,
			    uint64_t memsz)
{
	Elf64_Phdr *ph = &rig.f.ph[rig.f.eh.e_phnum++];

	*ph = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = flags,
		.p_offset = offsetof(struct file, data),
		.p_vaddr = vaddr,
		.p_paddr = paddr,
		.p_filesz = filesz,
		.p_memsz = memsz,
		.p_align = 1,
	};
	return ph;
}

/* ph[0]: text, ph[1]: read-write data with a zeroed tail. */
static int setup(void **state)
{
	size_t i;

	(void)state;
	rig = (struct rig){ .ram = { calloc(1, RAM), RAM } };
	assert_non_null(rig.ram.base);
	rig.f.eh = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = TEXT + 0x10,
		.e_phoff = offsetof(struct file, ph),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
	};
	for (i = 0; i < sizeof(rig.f.data); i++)
		rig.f.data[i] = (uint8_t)(i * 7 + 1);
	add_load(PF_R | PF_X, TEXT, 0x100000, 0x1800, 0x1800);
	add_load(PF_R | PF_W, TEXT + 0x4010, 0x108010, 0x20, 0x2000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vp_image_free(&rig.image);
	free(rig.ram.base);
	return 0;
}

static int load_bytes(const void *bytes, size_t len)
{
	assert_int_equal(vp_boot_init(&rig.boot, rig.ram, NULL), 0);
	return vp_image_load(bytes, len, "some.elf", &rig.boot, &rig.image, &rig.err);
}

static int load(void)
{
	return load_bytes(&rig.f, sizeof(rig.f));
}

static int read_ram(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const void *from = vp_ram_at(arg, gpa.v, len);

	(void)err;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

static int walk(uint64_t gva, struct vp_map *map)
{
	struct vp_paging p = { 0x80010033, rig.boot.tables, 0x620, 0xd01 };
	struct vp_phys_reader mem = { read_ram, &rig.ram };

	return vp_walk(&p, &mem, VP_GVA(gva), map, NULL);
}

static void test_good(void **state)
{
	const uint8_t *ram = rig.ram.base;
	struct vp_map map;
	uint64_t off;

	(void)state;
	assert_int_equal(load(), 0);
	assert_int_equal(rig.image.entry.v, TEXT + 0x10);
	assert_false(rig.image.irqchip);
	assert_int_equal(rig.image.nparts, 2);
	assert_memory_equal(ram + 0x100000, rig.f.data, 0x1800);
	assert_int_equal(ram[0x101800], 0);
	assert_memory_equal(ram + 0x108010, rig.f.data, 0x20);
	for (off = 0x20; off < 0x2000; off++)
		assert_int_equal(ram[0x108010 + off], 0);

	assert_int_equal(walk(TEXT + 0x17ff, &map), 0);
	assert_int_equal(map.gpa.v, 0x1017ff);
	assert_true(!map.writable && !map.nx && !map.user && map.page_size == VP_PAGE);
	assert_int_equal(walk(TEXT + 0x2000, &map), -EFAULT);
	/* 0x2000 bytes from 0x4010 are three pages. */
	assert_int_equal(walk(TEXT + 0x6000, &map), 0);
	assert_int_equal(map.gpa.v, 0x10a000);
	assert_true(map.writable && map.nx);
	assert_int_equal(walk(TEXT + 0x7000, &map), -EFAULT);
}

static void test_scattered_pages(void **state)
{
	struct vp_map map;

	(void)state;
	add_load(PF_R | PF_X, TEXT + 0x10000, 0x125000, 0x1000, 0x1000);
	add_load(PF_R | PF_X, TEXT + 0x11000, 0x123000, 0x1000, 0x1000)->p_offset += 0x1000;
	assert_int_equal(load(), 0);
	assert_int_equal(walk(TEXT + 0x10fff, &map), 0);
	assert_int_equal(map.gpa.v, 0x125fff);
	assert_int_equal(walk(TEXT + 0x11000, &map), 0);
	assert_int_equal(map.gpa.v, 0x123000);
	assert_memory_equal(rig.ram.base + 0x123000, rig.f.data + 0x1000, 0x1000);
}

static void refused(const char *reason)
{
	size_t i;

	rig.err.text[0] = 0;
	assert_int_equal(load(), -ENOEXEC);
	if (!strstr(rig.err.text, reason) || strncmp(rig.err.text, "some.elf: ", 10))
		fail_msg("expected \"%s\", got \"%s\"", reason, rig.err.text);
	assert_null(strchr(rig.err.text, '\n'));
	/* Nothing outside the image's part of RAM was touched. */
	for (i = 0; i < VP_GUEST_IMAGE_MIN; i++)
		assert_int_equal(rig.ram.base[i], 0);
}

static void test_no_segment(void **state)
{
	(void)state;
	rig.f.eh.e_phnum = 0;
	refused("no PT_LOAD");
}

static void test_wrong_type(void **state)
{
	(void)state;
	rig.f.eh.e_type = ET_DYN;
	refused("ET_EXEC");
}

static void test_outside_ram(void **state)
{
	static const struct {
		uint64_t paddr, memsz;
	} bad[] = {
		{ 0, 0x1000 },
		{ 0x1000, 0x1000 },
		{ 0xff000, 0x2000 },	  /* begins below 1 MiB */
		{ TOP, 0x1000 },	  /* in the boot page tables */
		{ TOP - 0x1000, 0x1001 }, /* ends in them */
		{ RAM, 0x1000 },	  /* behind RAM */
		{ RAM - 0x1000, 0x2000 }, /* ends behind RAM */
		{ 0x110000, 1ull << 62 },
		{ 0x110000, 1ull << 63 },
		{ 1ull << 63, 0x1000 },
		{ 0xfffffffffffff000, 0x800 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig.f.eh.e_phnum = 1;
		/* Low in the address space, so that nothing wraps before the size is looked at. */
		add_load(PF_R, 0x200000, bad[i].paddr, 0x10, bad[i].memsz);
		refused("outside 0x100000-0x200000");
		vp_image_free(&rig.image);
	}
}

static void test_wrapping(void **state)
{
	(void)state;
	rig.f.ph[1].p_memsz = UINT64_MAX - 0xfff;
	refused("wrap");
}

static void test_misaligned(void **state)
{
	(void)state;
	rig.f.ph[1].p_paddr += 8;
	refused("different offsets in a page");
}

static void test_not_canonical(void **state)
{
	static const uint64_t bad[] = { 0x800000000000, 0x7ffffffff000, 0xffff7fffffffe000,
					0x1000000000000 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig.f.eh.e_phnum = 1;
		add_load(PF_R, bad[i], 0x110000, 0x10, 0x2000);
		refused("not canonical");
		vp_image_free(&rig.image);
	}
	/* The last pages below the hole are fine. */
	rig.f.eh.e_phnum = 1;
	add_load(PF_R, 0x7fffffffe000, 0x110000, 0x10, 0x2000);
	assert_int_equal(load(), 0);
}

static void test_overlap(void **state)
{
	(void)state;
	/* Physical: the page that the data segment ends in. */
	add_load(PF_R, 0x200000, 0x10a000, 0x10, 0x10);
	refused("shares the physical page 0x10a000");
	vp_image_free(&rig.image);
	/* Virtual, likewise. */
	rig.f.eh.e_phnum = 2;
	add_load(PF_R, TEXT + 0x6000, 0x150000, 0x10, 0x10);
	refused("mapped already");
	vp_image_free(&rig.image);
	rig.f.eh.e_phnum = 2;
	add_load(PF_R, VP_GUEST_DIRECT_MAP + 0x150000, 0x150000, 0x10, 0x10);
	refused("direct map");
}

static void test_entry(void **state)
{
	static const uint64_t bad[] = { 0, TEXT - 1, TEXT + 0x1800, TEXT + 0x4010, UINT64_MAX };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig.f.eh.e_entry = bad[i];
		refused("executable segment");
		vp_image_free(&rig.image);
	}
	rig.f.eh.e_entry = TEXT + 0x17ff;
	assert_int_equal(load(), 0);
}

static void test_too_many_tables(void **state)
{
	uint64_t i;

	(void)state;
	for (i = 0; i < 240; i++)
		add_load(PF_R, (i + 1) << 39, 0x110000 + i * VP_PAGE, 1, 1);
	refused("page tables are full");
}

/* A note with @descsz bytes of descriptor, the first four of them @flags. */
static void add_note(uint32_t descsz, uint32_t flags)
{
	uint32_t note[8] = { 7, descsz, VP_NOTE_FLAGS };
	Elf64_Phdr *ph;

	memcpy(&note[3], "vmpoke", 7);
	note[5] = flags;
	memcpy(rig.f.data + 0x2000, note, sizeof(note));
	rig.f.eh.e_phnum = 2;
	ph = add_load(PF_R, 0, 0, 20 + (descsz + 3) / 4 * 4, 0);
	ph->p_type = PT_NOTE;
	ph->p_offset += 0x2000;
	ph->p_align = 4;
}

static void test_note(void **state)
{
	(void)state;
	add_note(4, VP_NOTE_IRQCHIP);
	assert_int_equal(load(), 0);
	assert_true(rig.image.irqchip);
	teardown(state);
	setup(state);
	add_note(4, 0);
	assert_int_equal(load(), 0);
	assert_false(rig.image.irqchip);
	teardown(state);
	setup(state);
	add_note(4, 2);
	refused("unknown features 0x2");
	teardown(state);
	setup(state);
	add_note(8, VP_NOTE_IRQCHIP);
	refused("8 bytes");
}

static void test_truncated(void **state)
{
	size_t len, full = offsetof(struct file, data) + 0x1800;

	(void)state;
	for (len = 0; len < full; len += len < 256 ? 1 : 97) {
		/* A copy of just that size, so that a sanitizer sees a read behind it. */
		void *cut = malloc(len ? len : 1);

		memcpy(cut, &rig.f, len);
		assert_int_equal(load_bytes(cut, len), -ENOEXEC);
		vp_image_free(&rig.image);
		free(cut);
	}
	assert_int_equal(load_bytes(&rig.f, full), 0);
}

static void test_damaged(void **state)
{
	uint64_t seed = 0x243f6a8885a308d3;
	struct file good = rig.f;
	unsigned int i, j, loaded = 0, n = offsetof(struct file, ph) + 2 * sizeof(Elf64_Phdr);
	int rc;

	(void)state;
	for (i = 0; i < 3000; i++) {
		rig.f = good;
		for (j = 0; j < 1 + i % 3; j++)
			((uint8_t *)&rig.f)[unit_random(&seed) % n] = (uint8_t)unit_random(&seed);
		rc = load();
		assert_true(rc == 0 || rc == -ENOEXEC);
		loaded += rc == 0;
		vp_image_free(&rig.image);
	}
	/* Both kinds were there, or this shows nothing. */
	assert_in_range(loaded, 1, 2999);
	for (i = 0; i < VP_GUEST_IMAGE_MIN; i++)
		assert_int_equal(rig.ram.base[i], 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),       TEST(test_scattered_pages), TEST(test_no_segment),
		TEST(test_wrong_type), TEST(test_outside_ram),	   TEST(test_wrapping),
		TEST(test_misaligned), TEST(test_not_canonical),   TEST(test_overlap),
		TEST(test_entry),      TEST(test_too_many_tables), TEST(test_note),
		TEST(test_truncated),  TEST(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
