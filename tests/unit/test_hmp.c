/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU's human monitor prints. */
#include "unit.h"

#include "fake_qemu.h"
#include "target/hmp.h"

/* A vCPU in 32-bit mode, as QEMU 7.2 prints it. */
static const char registers32[] =
	"CPU#0\r\nEAX=00000001 EBX=00000002 ECX=00000003 EDX=00000004\r\n"
	"ESI=00000005 EDI=00000006 EBP=00000007 ESP=00006f04\r\n"
	"EIP=000f4bb3 EFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
	"ES =0010 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
	"CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\r\n"
	"SS =0010 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
	"FS =0010 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
	"GS =0010 00001000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
	"GDT=     000f6240 00000037\r\nIDT=     000f627e 00000000\r\n"
	"CR0=00000011 CR2=00000000 CR3=00000000 CR4=00000000\r\nEFER=0000000000000000\r\n";

static const struct vp_vcpu_state *read_all(const char *text, struct vp_hmp_vcpu **list, size_t n)
{
	struct vp_err err;
	size_t found;

	if (vp_hmp_registers(text, list, &found, &err))
		fail_msg("%s", err.text);
	assert_int_equal(found, n);
	return &(*list)[n - 1].state;
}

static void test_registers(void **state)
{
	struct vp_hmp_vcpu *list;
	const struct vp_vcpu_state *s = read_all(fake_registers, &list, 2);

	(void)state;
	assert_int_equal(s->regs.gpr[VP_RAX], 1);
	assert_int_equal(s->regs.gpr[VP_RBX], 2);
	assert_int_equal(s->regs.gpr[VP_R8], 8);
	assert_int_equal(s->regs.gpr[VP_R15], 15);
	assert_int_equal(s->regs.rip, 0xffffffffa2a17a0c);
	assert_int_equal(s->regs.rflags, 0x246);
	assert_int_equal(s->cs, 0x10);
	assert_int_equal(s->ss, 0x18);
	assert_int_equal(s->fs_base, 0x7f0000001000);
	assert_int_equal(s->gs_base, 0xffff8c4d5f400000);
	assert_int_equal(s->idt_base, 0xfffffe0000000000);
	assert_int_equal(s->paging.cr0, 0x80050033);
	assert_int_equal(s->paging.cr3, 0x194000);
	assert_int_equal(s->paging.cr4, 0x6b0);
	assert_int_equal(s->paging.efer, 0xd01);
	assert_int_equal(list[0].number, 0);
	assert_int_equal(list[1].number, 1);
	assert_int_equal(list[0].state.regs.rip, 0xffffffffa2a17a0b);
	free(list);

	s = read_all(registers32, &list, 1);
	assert_int_equal(s->regs.gpr[VP_RSP], 0x6f04);
	assert_int_equal(s->regs.rip, 0xf4bb3);
	assert_int_equal(s->gs_base, 0x1000);
	assert_int_equal(s->paging.efer, 0);
	free(list);
}

static int refused(const char *text, struct vp_err *err)
{
	struct vp_hmp_vcpu *list;
	size_t n;
	int rc = vp_hmp_registers(text, &list, &n, err);

	if (!rc)
		fail_msg("taken: %.60s", text);
	assert_null(list);
	assert_int_equal(n, 0);
	return rc;
}

/* As many vCPUs as a VM may have, with gaps; the numbers ascend, each but once. */
static void test_many_vcpus(void **state)
{
	size_t one = strlen(registers32), len = 0;
	char *text = malloc(2000 * (one + 8)), number[16];
	struct vp_hmp_vcpu *list;
	struct vp_err err;

	(void)state;
	for (unsigned int i = 0; i < 2000; i++)
		len += (size_t)sprintf(text + len, "CPU#%u%s", 2 * i + 97, registers32 + 5);
	read_all(text, &list, 2000);
	assert_int_equal(list[64].number, 225);
	assert_int_equal(list[1999].number, 4095);
	free(list);

	sprintf(number, "CPU#%d", VP_VCPU_NUMBERS);
	memcpy(strstr(text, "CPU#4095"), number, 8);
	assert_int_equal(refused(text, &err), -E2BIG);
	assert_non_null(strstr(err.text, "4096"));
	memcpy(strstr(text, "CPU#4096"), "CPU#4093", 8); /* twice */
	assert_int_equal(refused(text, &err), -EPROTO);
	memcpy(strstr(text, "CPU#4093"), "CPU#409x", 8);
	assert_int_equal(refused(text, &err), -EPROTO);
	free(text);
	assert_int_equal(refused("CPU#\r\n", &err), -EPROTO);
	assert_int_equal(refused("", &err), -EPROTO);
	assert_int_equal(refused("unknown command: 'info registers -a'\r\n", &err), -EPROTO);
}

/* With any line of it gone, or cut anywhere, it is refused and nothing beyond it is read. */
static void test_registers_damaged(void **state)
{
	static const char *const needed[] = { "RAX=", "R8 =", "RIP=", "RFL=", "CS =", "FS =",
					      "IDT=", "CR0=", "CR3=", "CR4=", "EFER" };
	size_t half = strlen(fake_registers) / 2, whole;
	struct vp_hmp_vcpu *list;
	struct vp_err err;
	char *text;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(needed) / sizeof(needed[0]); i++) {
		text = strdup(fake_registers);
		strstr(text + i % 2 * half, needed[i / 2])[0] = 'Q';
		err.text[0] = 0;
		assert_int_equal(refused(text, &err), -EPROTO);
		assert_non_null(strstr(err.text, i % 2 ? "vCPU 1" : "vCPU 0"));
		free(text);
	}
	/* Cut: refused; or, between the vCPUs, one is missing, which the target finds. */
	whole = (size_t)(strstr(fake_registers, "XMM00") - fake_registers);
	for (size_t n = 0; n < half + whole - 1; n++) {
		text = strndup(fake_registers, n);
		if (n < whole - 1 || n >= half + 6)
			assert_true(refused(text, &err) < 0);
		else
			free((read_all(text, &list, 1), list));
		free(text);
	}
	assert_true(refused("CPU#0\nRAX=11112222333344445 RIP=0 ", &err) < 0);
}

static int ram(const char *lines, struct vp_hmp_range *ranges, size_t *n, struct vp_err *err)
{
	char text[8192];

	snprintf(text, sizeof(text),
		 "FlatView #0\n AS \"I/O\"\n  0000-00ff (prio 0, ram): no\n\n"
		 "FlatView #1\n AS \"memory\", root: system\n%s\n  9999-9999 (prio 0, ram): no\n",
		 lines);
	return vp_hmp_ram(text, ranges, n, err);
}

static void test_ram(void **state)
{
	struct vp_hmp_range r[VP_HMP_RANGES];
	struct vp_err err;
	size_t n;

	(void)state;
	assert_int_equal(
		ram("  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\n"
		    "  00000000000c0000-00000000000fffff (prio 0, rom): pc.ram\n"
		    "  0000000000100000-00000000001fffff (prio 0, ram): pc.ram\n"
		    "  0000000000200000-00000000002fffff (prio 0, ram): more\n"
		    "  00000000f0000000-00000000f0ffffff (prio 1, ramd): a device's\n"
		    "  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi\n"
		    "  0000000100000000-000000017fffffff (prio 0, ram): pc.ram @00c0 KVM\n",
		    r, &n, &err),
		0);
	assert_int_equal(n, 4);
	assert_int_equal(r[1].len, 0x100000);
	assert_int_equal(r[2].start, 0x200000);
	vp_hmp_join(r, &n);
	assert_int_equal(n, 3);
	assert_int_equal(r[0].len, 0xa0000);
	assert_int_equal(r[1].start, 0x100000);
	assert_int_equal(r[1].len, 0x200000);
	assert_int_equal(r[2].start, 0x100000000);
	assert_int_equal(r[2].len, 0x80000000);

	/* Other words in it are not passed over. */
	assert_int_equal(ram("  0000-0fff (prio 0, ram): a\n  2000-2fff prio 0, ram: b\n", r, &n,
			     &err),
			 -EPROTO);
	assert_int_equal(ram("  0000-0fff (prio 0, ram): a\n  0x2000 0x2fff ram\n", r, &n, &err),
			 -EPROTO);
	assert_int_equal(ram("  0000-0fff (prio 0, ram): a\n  1000-1fff (prio 0, nv-ram): b\n", r,
			     &n, &err),
			 0);
	assert_int_equal(r[0].len, 0x1000);

	assert_int_equal(vp_hmp_ram("", r, &n, &err), -EPROTO);
	assert_int_equal(vp_hmp_ram("unknown command: 'info'\n", r, &n, &err), -EPROTO);
	assert_int_equal(ram("", r, &n, &err), -EPROTO);
	assert_int_equal(ram("  2000-2fff (prio 0, ram): a\n  1000-1fff (prio 0, ram): b\n", r, &n,
			     &err),
			 -EPROTO);
	assert_int_equal(ram("  2000-1000 (prio 0, ram): a\n", r, &n, &err), -EPROTO);
	assert_int_equal(ram("  0-ffffffffffffffff (prio 0, ram): a\n", r, &n, &err), -EPROTO);
}

static void test_host(void **state)
{
	static const char *const bad[] = {
		"",
		"\r\n",
		"unknown command: 'gpa2hva'\r\n",
		"No memory is mapped at address 0x100000\r\n",
		"Memory at address 0x100000 is not RAM\r\n",
		"Host virtual address for 0x200000 (pc.ram) is 0x7f0000000000\r\n",
		"Host virtual address for 0x100000 (pc.ram) is (nil)\r\n",
		"Host virtual address for 0x100000 (pc.ram) is 0x0\r\n",
		"Host virtual address for 0x100000 (pc.ram) is 0x7f0000000000 now\r\n",
		"Host virtual address for 0x100000 (pc.ram) is about 0x7f0000000000\r\n",
		"Host physical address for 0x100000 (pc.ram) is 0x7f0000000000\r\n",
	};
	uint64_t host = 0;
	struct vp_err err;

	(void)state;
	assert_int_equal(vp_hmp_host("Host virtual address for 0x100000 (a b.c) is "
				     "0xffff7f0000000001\r\n",
				     0x100000, &host, &err),
			 0);
	assert_int_equal(host, 0xffff7f0000000001);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vp_hmp_host(bad[i], 0x100000, &host, &err), -EPROTO);
}

static void status(const char *text, int rc, const char *state, bool running)
{
	struct vp_err err = { "" };
	char name[32] = "";
	bool runs = !running;

	assert_int_equal(vp_hmp_status(text, name, sizeof(name), &runs, &err), rc);
	assert_null(strpbrk(err.text, "\x1b\r\n"));
	assert_true(!rc == !err.text[0]);
	if (rc)
		return;
	assert_string_equal(name, state);
	assert_int_equal(runs, running);
}

static void test_status(void **state)
{
	static const char *const bad[] = {
		"",
		"what?\x1b[2J\nmore",
		"VM status: running now\r\n",
		"VM status: run\r\n",
		"VM status: runningx\r\n",
		"VM status: paused (io error)\r\n",
		"VM status: running (paused)\r\n",
		"VM status: paused ()\r\n",
		"VM status: paused (\r\n",
		"VM status: paused (io-error) \x07\r\n",
		"VM status: running\r\nVM status: paused\r\n",
		"VM status: \r\n",
		"VM status: paused (abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz)\r\n",
		"unknown command: 'info status'\r\n",
	};

	(void)state;
	status("VM status: running\r\n", 0, "running", true);
	status("VM status: paused\r\n", 0, "paused", false);
	status("VM status: paused (io-error)\r\n", 0, "io-error", false);
	status("VM status: running (single step mode)\r\n", 0, "running", true);
	status("VM status: paused (single step mode) (postmigrate)\r\n", 0, "postmigrate", false);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		status(bad[i], -EPROTO, NULL, false);
}

static void migration(const char *text, int rc, const char *want)
{
	struct vp_err err = { "" };
	char name[32] = "";

	assert_int_equal(vp_hmp_migration(text, name, sizeof(name), &err), rc);
	assert_null(strpbrk(err.text, "\x1b\r\n\t"));
	assert_true(!rc == !err.text[0]);
	if (!rc)
		assert_string_equal(name, want);
}

static void test_migration(void **state)
{
	static const char *const bad[] = {
		"unknown command: 'info migrate'\r\n",
		"globals:\r\nMigration-Status: active\r\n",
		"migration is active\r\n",
		"globals:\r\nstate: active\r\n",
		"State: active\r\n",
		"status: active\r\n",
		"Status:\r\n",
		"Status: \t\tACTIVE\r\n",
		"Status: active now\r\n",
		"Status: active\r\nStatus: none\r\n",
		"  Status: active\r\n",
		"Status: abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz\r\n",
		"Migration status: active\x1b[2J\r\n",
	};

	(void)state;
	migration("", 0, "none");
	migration("globals:\r\nstore-global-state: on\r\nclear-bitmap-shift: 18\r\n", 0, "none");
	migration("Outgoing migration blocked:\r\n  a device: active\r\n", 0, "none");
	migration("globals:\nonly-migratable: off\nMigration status: active\ntotal time: 3 ms\n", 0,
		  "active");
	migration("Migration status: failed (no: active)\r\n", 0, "failed");
	migration("Status: \t\tpre-switchover\r\nTime (ms): \t\ttotal=508\r\n", 0,
		  "pre-switchover");
	migration("Status: \t\tcompleted\r\n", 0, "completed");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		migration(bad[i], -EPROTO, NULL);
}

static void test_small_ones(void **state)
{
	char line[8], text[40];
	struct vp_err err;
	bool on;

	(void)state;
	vp_hmp_line(" \r\n  one \xff two\nthree", line, sizeof(line));
	assert_string_equal(line, "one ? t");
	vp_hmp_line("a  \r\nb", line, sizeof(line));
	assert_string_equal(line, "a");
	vp_hmp_line("", line, sizeof(line));
	assert_string_equal(line, "");
	assert_int_equal(vp_hmp_version(" 7.2.22Debian 1:7.2"), 702);
	assert_int_equal(vp_hmp_version("10.1.0"), 1001);
	assert_int_equal(vp_hmp_version("unknown"), 0);
	assert_int_equal(vp_hmp_version("x7.2"), 0);

	assert_int_equal(vp_hmp_value("info name", "\r\n", text, sizeof(text), &err), 0);
	assert_string_equal(text, "");
	assert_int_equal(vp_hmp_value("info name", "web1\r\n", text, sizeof(text), &err), 0);
	assert_string_equal(text, "web1");
	assert_int_equal(vp_hmp_value("info name", "web1\r\nmore", text, sizeof(text), &err),
			 -EPROTO);
	assert_int_equal(vp_hmp_value("info name", "unknown command: 'info name'\r\n", text,
				      sizeof(text), &err),
			 -EPROTO);
	assert_non_null(strstr(err.text, "info name"));

	assert_int_equal(vp_hmp_kvm("kvm support: enabled\r\n", &on, &err), 0);
	assert_true(on);
	assert_int_equal(vp_hmp_kvm("kvm support: not compiled\r\n", &on, &err), 0);
	assert_false(on);
	assert_int_equal(vp_hmp_kvm("kvm is enabled\r\n", &on, &err), -EPROTO);

	assert_int_equal(vp_hmp_string("\"/objects/sev0\"\r\n", text, sizeof(text), &err), 0);
	assert_string_equal(text, "/objects/sev0");
	assert_int_equal(vp_hmp_string("\"\"\r\n", text, sizeof(text), &err), 0);
	assert_string_equal(text, "");
	assert_int_equal(vp_hmp_string("Error: Property not found\r\n", text, sizeof(text), &err),
			 -EPROTO);
	assert_int_equal(vp_hmp_string("\"a\"b\"\r\n", text, sizeof(text), &err), -EPROTO);
	assert_int_equal(vp_hmp_string("\"", text, sizeof(text), &err), -EPROTO);
}

static void test_cpus(void **state)
{
	struct vp_err err;
	unsigned int n;

	(void)state;
	assert_int_equal(
		vp_hmp_cpus("* CPU #0: thread_id=1\r\n  CPU #1: thread_id=2\r\n", &n, &err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(vp_hmp_cpus("  CPU #7: thread_id=1 model=qemu64\r\n", &n, &err), 0);
	assert_int_equal(vp_hmp_cpus("", &n, &err), -EPROTO);
	assert_int_equal(vp_hmp_cpus("* CPU #0: thread_id=1\r\nmore\r\n", &n, &err), -EPROTO);
	assert_int_equal(vp_hmp_cpus("CPU 0\r\n", &n, &err), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),  cmocka_unit_test(test_registers_damaged),
		cmocka_unit_test(test_many_vcpus), cmocka_unit_test(test_ram),
		cmocka_unit_test(test_host),	   cmocka_unit_test(test_status),
		cmocka_unit_test(test_migration),  cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_small_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
