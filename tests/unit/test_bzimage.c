/* SPDX-License-Identifier: Apache-2.0 */
/* Good and hostile kernel files against the loaders of bzImage and vmlinux. */
#include "unit.h"
#include "vmm/kernel.h"
#include <elf.h>

#define RAM	   (32ull << 20)
#define SETUP	   (5 * 512u) /* 4 sectors and the first */
#define PAYLOAD	   0x1001u    /* its last paragraph is not whole */
#define LOAD_AT	   0x1000000u
#define INIT	   0x300000u
#define HDR_AT	   0x1f1u
#define JUMP_AT	   0x201u
#define VMLINUX_AT 0x1400000u

/* A vmlinux of one segment, mapped high and loaded low. */
struct vmlinux {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	char text[0x1000];
};

static uint8_t file[SETUP + PAYLOAD];
static struct setup_header *hdr = (struct setup_header *)(void *)(file + HDR_AT);
static struct vmlinux elf;
static struct vp_ram ram;
static struct vp_kernel kernel;
static struct vp_err err;

static int setup(void **state)
{
	size_t i;

	(void)state;
	ram = (struct vp_ram){ calloc(1, RAM), RAM };
	assert_non_null(ram.base);
	for (i = 0; i < sizeof(file); i++)
		file[i] = i < SETUP ? 0 : (uint8_t)(i * 7 + 1);
	file[JUMP_AT] = 0x6a; /* the header ends at 0x26c */
	*hdr = (struct setup_header){
		.setup_sects = 4,
		.syssize = (PAYLOAD + 15) / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = LOAD_AT,
		.init_size = INIT,
	};
	memcpy(file + 0x202, "HdrS", 4);
	elf = (struct vmlinux){
		.eh = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				     EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = VMLINUX_AT + 0x40,
			.e_phoff = offsetof(struct vmlinux, ph),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.text = "Linux version 6.1.0 (somebody)",
	};
	elf.ph[0] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = offsetof(struct vmlinux, text),
		.p_vaddr = 0xffffffff81000000ull,
		.p_paddr = VMLINUX_AT,
		.p_filesz = sizeof(elf.text),
		.p_memsz = 0x5000,
		.p_align = 1,
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(ram.base);
	return 0;
}

static bool untouched(void)
{
	return !ram.base[0] && !memcmp(ram.base, ram.base + 1, RAM - 1);
}

/* Refused with one line that holds @why, and RAM is as it was. */
static void refused(const void *bytes, size_t len, const char *why)
{
	err.text[0] = 0;
	assert_int_equal(vp_kernel_load(bytes, len, "kernel", &ram, &kernel, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, why));
	assert_null(strchr(err.text, '\n'));
	assert_true(untouched());
}

static void test_good(void **state)
{
	(void)state;
	assert_true(vp_kernel_is_linux(file, sizeof(file)));
	assert_int_equal(vp_kernel_load(file, sizeof(file), "kernel", &ram, &kernel, &err), 0);
	assert_memory_equal(ram.base + LOAD_AT, file + SETUP, PAYLOAD);
	assert_int_equal(ram.base[LOAD_AT + PAYLOAD], 0);
	assert_int_equal(kernel.start, LOAD_AT);
	assert_int_equal(kernel.end, LOAD_AT + INIT);
	assert_int_equal(kernel.entry, LOAD_AT + 0x200);
	assert_int_equal(kernel.header.cmdline_size, 2047);
}

static void test_what_is_no_kernel(void **state)
{
	(void)state;
	file[0x1fe] = 0;
	assert_false(vp_kernel_is_linux(file, sizeof(file)));
	file[0x1fe] = 0x55;
	file[0x202] = 'h';
	assert_false(vp_kernel_is_linux(file, sizeof(file)));
	assert_false(vp_kernel_is_linux(file, 0));
	file[0x202] = 'H';
	assert_false(vp_kernel_is_linux(file, 1023));
	assert_true(vp_kernel_is_linux(file, 1024));
}

static void test_truncated(void **state)
{
	size_t len;

	(void)state;
	for (len = 1024; len < sizeof(file); len += 97)
		refused(file, len, "truncated");
	refused(file, sizeof(file) - 1, "truncated: its header says 6672 bytes, it has 6656");
	hdr->setup_sects = 255;
	refused(file, sizeof(file), "truncated");
}

static void test_huge(void **state)
{
	(void)state;
	hdr->syssize = UINT32_MAX;
	refused(file, sizeof(file), "truncated");
	hdr->syssize = 0;
	refused(file, sizeof(file), "truncated");
	hdr->syssize = (PAYLOAD + 15) / 16;
	hdr->init_size = UINT32_MAX;
	refused(file, sizeof(file), "give more --memory");
	hdr->init_size = (uint32_t)(RAM - LOAD_AT + 1);
	refused(file, sizeof(file), "give more --memory");
	hdr->init_size = INIT;
	hdr->pref_address = UINT64_MAX - 0xfff;
	refused(file, sizeof(file), "give more --memory");
	hdr->pref_address = RAM;
	refused(file, sizeof(file), "give more --memory");
	hdr->pref_address = 0xff000;
	refused(file, sizeof(file), "below 1 MiB");
}

/* A kernel that claims to need less than it has is given what it has. */
static void test_init_size_too_small(void **state)
{
	(void)state;
	hdr->init_size = 0;
	hdr->pref_address = RAM - PAYLOAD + 1;
	refused(file, sizeof(file), "give more --memory");
	hdr->pref_address = RAM - PAYLOAD;
	assert_int_equal(vp_kernel_load(file, sizeof(file), "kernel", &ram, &kernel, &err), 0);
	assert_int_equal(kernel.end, RAM);
}

static void test_other_kernels(void **state)
{
	(void)state;
	hdr->version = 0x20b;
	refused(file, sizeof(file), "boot protocol 2.11 is too old");
	hdr->version = 0x20f;
	hdr->xloadflags = 0;
	refused(file, sizeof(file), "no 64-bit entry");
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->loadflags = 0;
	refused(file, sizeof(file), "no 64-bit entry");
}

/* What lies behind the header's own end is not taken for a part of it. */
static void test_short_header(void **state)
{
	(void)state;
	file[JUMP_AT] = (uint8_t)(HDR_AT + offsetof(struct setup_header, pref_address) - 0x202);
	refused(file, sizeof(file), "loaded at 0x0");
	file[JUMP_AT] = 0;
	refused(file, sizeof(file), "boot protocol 0.00");
	file[JUMP_AT] = 255; /* longer than we know */
	assert_int_equal(vp_kernel_load(file, sizeof(file), "kernel", &ram, &kernel, &err), 0);
}

static void test_vmlinux(void **state)
{
	(void)state;
	assert_true(vp_kernel_is_linux(&elf, sizeof(elf)));
	assert_int_equal(vp_kernel_load(&elf, sizeof(elf), "vmlinux", &ram, &kernel, &err), 0);
	assert_int_equal(kernel.entry, VMLINUX_AT + 0x40);
	assert_int_equal(kernel.start, VMLINUX_AT);
	assert_int_equal(kernel.end, VMLINUX_AT + 0x5000);
	assert_int_equal(kernel.header.initrd_addr_max, 0x7fffffff);
	assert_string_equal((char *)ram.base + VMLINUX_AT, "Linux version 6.1.0 (somebody)");
}

/* Guests of docs/guest-abi.md are ELF files, too, but entered at a virtual address. */
static void test_vmlinux_or_not(void **state)
{
	(void)state;
	elf.eh.e_entry = elf.ph[0].p_vaddr;
	assert_false(vp_kernel_is_linux(&elf, sizeof(elf)));
	elf.eh.e_entry = VMLINUX_AT;
	elf.ph[0].p_vaddr = VMLINUX_AT;
	assert_false(vp_kernel_is_linux(&elf, sizeof(elf)));
	elf.ph[0].p_vaddr = 0xffffffff81000000ull;
	elf.ph[0].p_flags = PF_R;
	assert_false(vp_kernel_is_linux(&elf, sizeof(elf)));
	elf.ph[0].p_flags = PF_R | PF_X;
	elf.text[0] = 'l';
	assert_false(vp_kernel_is_linux(&elf, sizeof(elf)));
	elf.text[0] = 'L';
	assert_true(vp_kernel_is_linux(&elf, sizeof(elf)));
	elf.eh.e_ident[EI_CLASS] = ELFCLASS32;
	assert_false(vp_kernel_is_linux(&elf, sizeof(elf)));
}

static void test_vmlinux_segments(void **state)
{
	(void)state;
	elf.ph[0].p_memsz = RAM;
	refused(&elf, sizeof(elf), "give more --memory");
	elf.eh.e_phnum = 2;
	elf.ph[0].p_memsz = 0x5000;
	elf.ph[1] = elf.ph[0];
	elf.ph[1].p_paddr = 0xff000;
	elf.ph[0].p_type = PT_NOTE;
	elf.eh.e_entry = 0xff000;
	refused(&elf, sizeof(elf), "lie outside");
	elf.eh.e_entry = 0x2000000;
	refused(&elf, sizeof(elf), "no executable segment");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_what_is_no_kernel),
		TEST(test_truncated),
		TEST(test_huge),
		TEST(test_init_size_too_small),
		TEST(test_other_kernels),
		TEST(test_short_header),
		TEST(test_vmlinux),
		TEST(test_vmlinux_or_not),
		TEST(test_vmlinux_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
