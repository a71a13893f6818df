/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU 7.2, 10.0 and 11.1 printed, byte for byte (tests/golden/hmp; of "mtree" only the view
 * "memory" and the one before it). Run from the top folder, as tests/run.sh does.
 */
#include "unit.h"

#include "target/hmp.h"

struct golden {
	const char *version, *name, *line;
	unsigned int number;
	struct vp_vcpu_state vcpu0;
	uint64_t rip1; /* of vCPU 1 */
};

static const struct golden all[] = {
	{ .version = "7.2",
	  .name = "q72",
	  .line = "7.2.22Debian 1:7.2+dfsg-7+deb12u18+b3",
	  .number = 702,
	  .vcpu0 = { .regs = { .gpr = { [VP_RAX] = 0x1ad40,
					[VP_RDX] = 0x4000000000000000,
					[VP_RSI] = 0x83,
					[VP_RDI] = 0x22994,
					[VP_RBP] = 0xffffffffaea1aa40,
					[VP_RSP] = 0xffffffffaea03e98,
					[VP_R9] = 7,
					[VP_R10] = 0xfffffffb,
					[VP_R11] = 1,
					[VP_R15] = 0x14790 },
			       .rip = 0xffffffffada17a0b,
			       .rflags = 0x246 },
		     .ss = 0x18,
		     .gs_base = 0xffff8d7f9ee00000,
		     .paging = { .cr3 = 0x1ffaa000 } },
	  .rip1 = 0xffffffffada17a0b },
	{ .version = "10.0",
	  .name = "q100",
	  .line = "10.0.13Debian 1:10.0.13+ds-0+deb13u1",
	  .number = 1000,
	  .vcpu0 = { .regs = { .gpr = { [VP_RBX] = 0xf20,
					[VP_RCX] = 0x269e067,
					[VP_RDX] = 1,
					[VP_RSI] = 0xffffffffffffff98,
					[VP_RDI] = 0xfffff81a8009a7a8,
					[VP_RBP] = 0x269e067,
					[VP_RSP] = 0xffffd297c0cdbde0,
					[VP_R8] = 0x5e2000,
					[VP_R9] = 0x5e4fff,
					[VP_R10] = 0xffff8902dfc0ee0c,
					[VP_R12] = 0x400000000000080,
					[VP_R13] = 0x10,
					[VP_R14] = 0x269c067,
					[VP_R15] = 0xffff8902c301f000 },
			       .rip = 0xffffffff900c1f23,
			       .rflags = 0x246 },
		     .fs_base = 0x84a53c0,
		     .gs_base = 0xffff8902dee00000,
		     .paging = { .cr3 = 0x31d4000 } },
	  .rip1 = 0xffffffff90817a0b },
	{ .version = "11.1",
	  .name = "q111",
	  .line = "11.1.3Debian 1:11.1.3+ds-1",
	  .number = 1101,
	  .vcpu0 = { .regs = { .gpr = { [VP_RAX] = 0x1ad40,
					[VP_RCX] = 1,
					[VP_RDX] = 0x4000000000000000,
					[VP_RSI] = 0x83,
					[VP_RDI] = 0xdc14,
					[VP_RBP] = 0xffffffffa6e1aa40,
					[VP_RSP] = 0xffffffffa6e03e98,
					[VP_R9] = 7,
					[VP_R10] = 0xfffffffb,
					[VP_R11] = 1,
					[VP_R15] = 0x14790 },
			       .rip = 0xffffffffa5e17a0b,
			       .rflags = 0x246 },
		     .ss = 0x18,
		     .gs_base = 0xffff89009ee00000,
		     .paging = { .cr3 = 0x237c000 } },
	  .rip1 = 0xffffffffa5e17a0b },
};

static char text[16384];

static const char *read_golden(const struct golden *g, const char *what)
{
	char path[64];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "tests/golden/hmp/%s/%s", g->version, what);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s is not there: run this from the top folder", path);
	n = fread(text, 1, sizeof(text) - 1, file);
	assert_true(n < sizeof(text) - 1);
	fclose(file);
	text[n] = 0;
	return text;
}

static void test_status(void **state)
{
	static const struct {
		const char *file, *name;
		bool running;
	} files[] = {
		{ "status-running", "running", true },
		{ "status-paused", "paused", false },
		{ "status-postmigrate", "postmigrate", false },
	};

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		char name[32] = "";
		bool running = !files[i % 3].running;
		struct vp_err err;

		assert_int_equal(vp_hmp_status(read_golden(&all[i / 3], files[i % 3].file), name,
					       sizeof(name), &running, &err),
				 0);
		assert_string_equal(name, files[i % 3].name);
		assert_int_equal(running, files[i % 3].running);
	}
}

static void test_migration(void **state)
{
	static const char *const names[] = { "none", "active", "cancelled", "completed" };

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		char file[32], name[32] = "";
		struct vp_err err;

		snprintf(file, sizeof(file), "migrate-%s", names[i % 4]);
		assert_int_equal(vp_hmp_migration(read_golden(&all[i / 4], file), name,
						  sizeof(name), &err),
				 0);
		assert_string_equal(name, names[i % 4]);
	}
}

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const struct golden *g = &all[i];
		char line[64];
		struct vp_err err;
		bool kvm = true;

		assert_int_equal(vp_hmp_value("info version", read_golden(g, "version"), line,
					      sizeof(line), &err),
				 0);
		assert_string_equal(line, g->line);
		assert_int_equal(vp_hmp_version(line), g->number);
		assert_int_equal(vp_hmp_value("info name", read_golden(g, "name"), line,
					      sizeof(line), &err),
				 0);
		assert_string_equal(line, g->name);
		assert_int_equal(vp_hmp_value("info uuid", read_golden(g, "uuid"), line,
					      sizeof(line), &err),
				 0);
		assert_string_equal(line, "00000000-0000-0000-0000-000000000000");
		assert_int_equal(vp_hmp_kvm(read_golden(g, "kvm"), &kvm, &err), 0);
		assert_false(kvm);
	}
}

static void test_machine(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct vp_hmp_range r[VP_HMP_RANGES];
		unsigned int vcpus = 0;
		struct vp_err err;
		size_t n = 0;

		assert_int_equal(vp_hmp_cpus(read_golden(&all[i], "cpus"), &vcpus, &err), 0);
		assert_int_equal(vcpus, 2);
		assert_int_equal(vp_hmp_ram(read_golden(&all[i], "mtree"), r, &n, &err), 0);
		vp_hmp_join(r, &n);
		assert_int_equal(n, 3);
		assert_int_equal(r[0].start, 0);
		assert_int_equal(r[0].len, 0xc3000);
		assert_int_equal(r[1].start, 0xe8000);
		assert_int_equal(r[1].len, 0x8000);
		assert_int_equal(r[2].start, 0x100000);
		assert_int_equal(r[2].len, 0x1ff00000);
	}
}

static void test_host(void **state)
{
	static const uint64_t hosts[] = { 0x7fbc07f00000, 0x7f7e3bf00000, 0x7f12cff00000 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint64_t host = 0;
		struct vp_err err;

		assert_int_equal(
			vp_hmp_host(read_golden(&all[i], "gpa2hva"), 0x100000, &host, &err), 0);
		assert_int_equal(host, hosts[i]);
		assert_int_equal(vp_hmp_host(read_golden(&all[i], "gpa2hva-nothing"), 0x8000000000,
					     &host, &err),
				 -EPROTO);
		assert_int_equal(vp_hmp_host(read_golden(&all[i], "gpa2hva-mmio"), 0xfee00000,
					     &host, &err),
				 -EPROTO);
	}
}

static void test_registers(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct vp_vcpu_state want = all[i].vcpu0;
		const struct vp_vcpu_state *s;
		struct vp_hmp_vcpu *list;
		struct vp_err err;
		size_t n;

		assert_int_equal(
			vp_hmp_registers(read_golden(&all[i], "registers"), &list, &n, &err), 0);
		assert_int_equal(n, 2);
		assert_int_equal(list[0].number, 0);
		assert_int_equal(list[1].number, 1);
		assert_int_equal(list[1].state.regs.rip, all[i].rip1);
		s = &list[0].state;
		assert_memory_equal(&s->regs, &want.regs, sizeof(want.regs));
		assert_int_equal(s->cs, 0x10);
		assert_int_equal(s->ss, want.ss);
		assert_true(s->code64);
		assert_int_equal(s->cs_base, 0);
		assert_int_equal(s->fs_base, want.fs_base);
		assert_int_equal(s->gs_base, want.gs_base);
		assert_int_equal(s->idt_base, 0xfffffe0000000000);
		assert_int_equal(s->paging.cr0, 0x80050033);
		assert_int_equal(s->paging.cr3, want.paging.cr3);
		assert_int_equal(s->paging.cr4, 0x6b0);
		assert_int_equal(s->paging.efer, 0xd01);
		free(list);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status), cmocka_unit_test(test_migration),
		cmocka_unit_test(test_values), cmocka_unit_test(test_machine),
		cmocka_unit_test(test_host),   cmocka_unit_test(test_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
