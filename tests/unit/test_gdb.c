/* SPDX-License-Identifier: Apache-2.0 */
/* The gdbstub client against a stub that behaves as QEMU's does, and against ones that do not. */
#include "unit.h"

#include "fake_qemu.h"
#include "target/gdb.h"
#include "target/gdb_wire.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANG_MS	 20000u
#define SHORT_MS 100u /* for peers that never answer */

static struct vp_gdb *attach(struct fake_qemu *q, int *was_running)
{
	struct vp_gdb *g = NULL;
	struct vp_err err = { "" };
	int sock = vp_gdb_dial(q->gdb_path, &err);

	assert_true(sock >= 0);
	if (vp_gdb_open(sock, HANG_MS, &g, was_running, &err))
		fail_msg("%s", err.text);
	return g;
}

/* --- framing ------------------------------------------------------------------ */

/* Feed @text in pieces of @chunk bytes; the payloads joined by '|', or the error's code. */
static int parse(const char *text, size_t chunk, char *out)
{
	struct vp_gdb_in *in = calloc(1, sizeof(*in));
	size_t left = strlen(text), len;
	char *payload;
	int pair[2], rc = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (*out = 0; left && !rc; text += chunk) {
		chunk = left < chunk ? left : chunk;
		left -= chunk;
		assert_int_equal(write(pair[0], text, chunk), chunk);
		assert_int_equal(vp_gdb_in_recv(in, pair[1]), chunk);
		while ((rc = vp_gdb_in_next(in, &payload, &len, NULL)) == 1) {
			assert_int_equal(strlen(payload), len);
			strcat(strcat(out, payload), "|");
		}
	}
	assert_int_equal(vp_gdb_in_recv(in, pair[1]), -EAGAIN);
	close(pair[0]);
	close(pair[1]);
	free(in);
	return rc;
}

static void test_framing(void **state)
{
	static const struct {
		const char *text, *want;
		int rc;
	} cases[] = {
		{ "+$OK#9a", "OK|", 0 },    { "$OK#9A++$#00$E01#a6", "OK||E01|", 0 },
		{ "$OK#9b", "", -EPROTO },  { "$OK#zz", "", -EPROTO },
		{ "-$OK#9a", "", -EPROTO }, { "x", "", -EPROTO },
		{ "\xff", "", -EPROTO },    { "$never ends", "", 0 },
		{ "+++", "", 0 },
	};
	char out[64], frame[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t chunk = 1; chunk < 20; chunk += 6) {
			assert_int_equal(parse(cases[i].text, chunk, out), cases[i].rc);
			assert_string_equal(out, cases[i].want);
		}
	assert_int_equal(vp_gdb_frame("OK", 2, frame), 6);
	assert_memory_equal(frame, "$OK#9a", 6);
}

static void test_unhex(void **state)
{
	uint8_t out[2] = { 7, 7 };

	(void)state;
	assert_true(vp_gdb_unhex("0Aff", 4, out, 2));
	assert_int_equal(out[0], 10);
	assert_int_equal(out[1], 255);
	assert_false(vp_gdb_unhex("0Af", 3, out, 2));
	assert_false(vp_gdb_unhex("0Afff", 5, out, 2));
	assert_false(vp_gdb_unhex("0Afg", 4, out, 2));
	assert_false(vp_gdb_unhex("E01", 3, out, 1));
}

/* --- a good stub ---------------------------------------------------------------- */

static void test_memory(void **state)
{
	struct fake_qemu *q = fake_qemu_new();
	uint8_t back[10000], bytes[5000];
	struct vp_err err = { "" };
	int was;
	struct vp_gdb *g = attach(q, &was);

	(void)state;
	assert_int_equal(was, 1);
	assert_false(q->running);
	assert_int_equal(vp_gdb_check_arch(g, &err), 0);
	assert_int_equal(vp_gdb_read(g, VP_GPA(0x100001), back, sizeof(back), &err), 0);
	assert_memory_equal(back, q->ram + 0x100001, sizeof(back));
	assert_int_equal(vp_gdb_read(g, VP_GPA(0x100001), back, 0, &err), 0);
	memset(bytes, 0xcc, sizeof(bytes));
	assert_int_equal(vp_gdb_write(g, VP_GPA(0x100fff), bytes, sizeof(bytes), &err), 0);
	assert_memory_equal(q->ram + 0x100fff, bytes, sizeof(bytes));
	/* Where there is nothing the stub says OK: reading back tells. */
	assert_int_equal(vp_gdb_write(g, VP_GPA(0xa0000), bytes, 8, &err), -EIO);
	/* The connection still works, and leaves nothing behind. */
	assert_int_equal(vp_gdb_detach(g, true, &err), 0);
	vp_gdb_close(g);
	assert_true(q->running);
	assert_false(q->physical);
	fake_qemu_free(q);
}

/* Each stub says what it takes; not a byte more is sent, and not much less. */
static void test_packet_sizes(void **state)
{
	static const size_t sizes[] = { 0x200, 0x1000, 0x1001, 0x20020, 0x20021, 0x7fffffff };
	uint8_t *bytes = malloc(FAKE_RAM), *back = malloc(FAKE_RAM);

	(void)state;
	memset(bytes, 0x5a, FAKE_RAM);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fake_qemu *q = fake_qemu_new();
		size_t len = 0x60123, most = sizes[i] < 0x20020 ? sizes[i] : 0x20020;
		struct vp_err err = { "" };
		struct vp_gdb *g;
		int was;

		q->packet_size = sizes[i];
		g = attach(q, &was);
		assert_int_equal(vp_gdb_check_arch(g, &err), 0);
		assert_int_equal(vp_gdb_write(g, VP_GPA(0x100fff), bytes, len, &err), 0);
		assert_memory_equal(q->ram + 0x100fff, bytes, len);
		assert_int_equal(vp_gdb_read(g, VP_GPA(0x100000), back, 0x80000, &err), 0);
		assert_memory_equal(q->ram + 0x100000, back, 0x80000);
		assert_in_range(q->longest, most - 100, most);
		assert_int_equal(vp_gdb_detach(g, true, &err), 0);
		vp_gdb_close(g);
		assert_true(q->running);
		fake_qemu_free(q);
	}
	free(bytes);
	free(back);
}

/* A killed vmpoke, or an owner's debugger, left the mode behind: it is set back. */
static void test_mode_left_behind(void **state)
{
	struct fake_qemu *q = fake_qemu_new();
	struct vp_err err = { "" };
	struct vp_gdb *g;
	char *text;
	int was;

	(void)state;
	q->physical = true;
	g = attach(q, &was);
	assert_int_equal(vp_gdb_hmp(g, "info status", &text, &err), 0);
	free(text);
	assert_int_equal(vp_gdb_detach(g, true, &err), 0);
	vp_gdb_close(g);
	assert_false(q->physical);
	fake_qemu_free(q);
}

static void test_monitor(void **state)
{
	struct fake_qemu *q = fake_qemu_new();
	struct vp_err err = { "" };
	char *text = NULL, long_one[300];
	int was;
	struct vp_gdb *g = attach(q, &was);

	(void)state;
	assert_int_equal(vp_gdb_hmp(g, "info registers -a", &text, &err), 0);
	assert_non_null(strstr(text, "CPU#1"));
	assert_non_null(strstr(text, "IDT=     fffffe0000000000 00000fff"));
	free(text);
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = 0;
	assert_int_equal(vp_gdb_hmp(g, long_one, &text, &err), -EINVAL);
	assert_int_equal(vp_gdb_detach(g, true, &err), 0);
	vp_gdb_close(g);
	fake_qemu_free(q);
}

/* Each stray byte would stop the VM: that would be seen in the count of stops. */
static void test_run_and_stop(void **state)
{
	struct fake_qemu *q = fake_qemu_new();
	struct vp_err err = { "" };
	uint8_t b;
	int was;
	struct vp_gdb *g = attach(q, &was);

	(void)state;
	for (unsigned int i = 1; i <= 200; i++) {
		assert_int_equal(vp_gdb_cont(g, &err), 0);
		assert_int_equal(vp_gdb_stop(g, &err), 0);
		assert_false(q->running);
		assert_int_equal(q->stops, i + 1);
		assert_int_equal(vp_gdb_read(g, VP_GPA(0x100000 + i), &b, 1, &err), 0);
		assert_int_equal(b, q->ram[0x100000 + i]);
	}
	assert_int_equal(vp_gdb_detach(g, true, &err), 0);
	vp_gdb_close(g);
	assert_true(q->running);
	fake_qemu_free(q);
}

static void as_owner(struct fake_qemu *q, void (*fn)(struct fake_qemu *q))
{
	pthread_mutex_lock(&q->lock);
	fn(q);
	pthread_mutex_unlock(&q->lock);
}

static void test_paused_by_owner(void **state)
{
	struct fake_qemu *q = fake_qemu_new();
	struct vp_err err = { "" };
	struct vp_gdb *g;
	int was;

	(void)state;
	as_owner(q, fake_qemu_pause);
	g = attach(q, &was);
	assert_int_equal(was, 0);
	assert_int_equal(vp_gdb_detach(g, false, &err), 0);
	vp_gdb_close(g);
	assert_false(q->running);

	as_owner(q, fake_qemu_cont);
	g = attach(q, &was);
	assert_int_equal(was, 1);
	assert_int_equal(vp_gdb_cont(g, &err), 0);
	while (!__atomic_load_n(&q->running, __ATOMIC_SEQ_CST))
		usleep(1000);
	/* Paused behind our back: not ours to resume; twice, and then it goes on. */
	as_owner(q, fake_qemu_pause);
	assert_int_equal(vp_gdb_stop(g, &err), -EBUSY);
	assert_int_equal(vp_gdb_stop(g, &err), -EBUSY);
	as_owner(q, fake_qemu_cont);
	assert_int_equal(vp_gdb_stop(g, &err), 0);
	/* Paused and let go: ours to stop. */
	assert_int_equal(vp_gdb_cont(g, &err), 0);
	while (!__atomic_load_n(&q->running, __ATOMIC_SEQ_CST))
		usleep(1000);
	as_owner(q, fake_qemu_pause);
	as_owner(q, fake_qemu_cont);
	assert_int_equal(vp_gdb_stop(g, &err), 0);
	assert_int_equal(vp_gdb_detach(g, true, &err), 0);
	vp_gdb_close(g);
	assert_true(q->running);
	fake_qemu_free(q);
}

static void test_other_machine(void **state)
{
	struct fake_qemu *q = fake_qemu_new();
	struct vp_err err = { "" };
	struct vp_gdb *g;
	int was;

	(void)state;
	q->arch = "i386";
	g = attach(q, &was);
	assert_int_equal(vp_gdb_check_arch(g, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "not an x86-64"));
	vp_gdb_detach(g, true, NULL);
	vp_gdb_close(g);
	fake_qemu_free(q);
	assert_int_equal(vp_gdb_dial("/nowhere/at/all", &err), -ENOENT);
	assert_int_equal(vp_gdb_dial("", &err), -EINVAL);
}

/* --- bad peers --------------------------------------------------------------------- */

/* A peer that says @text, whatever it is asked, and hangs up or not. */
static int talk_to(const char *text, bool hang_up, struct vp_err *err)
{
	struct vp_gdb *g = NULL;
	int pair[2], was, rc;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[0], text, strlen(text)), strlen(text));
	if (hang_up)
		shutdown(pair[0], SHUT_WR);
	rc = vp_gdb_open(pair[1], SHORT_MS, &g, &was, err);
	close(pair[0]);
	if (!rc)
		vp_gdb_close(g);
	return rc;
}

/* What it can do decides, not what it is called; a number that makes no sense is none. */
static void abilities(void)
{
	static const char *const lists[] = {
		"qXfer:features:read+;multiprocess+",
		"PacketSize=;qXfer:features:read+;multiprocess+",
		"PacketSize=1ff;qXfer:features:read+;multiprocess+",
		"PacketSize=1000x;qXfer:features:read+;multiprocess+",
		"PacketSize=-1;qXfer:features:read+;multiprocess+",
		"xPacketSize=1000;qXfer:features:read+;multiprocess+",
		"PacketSize=1000;qXfer:features:read+",
		"PacketSize=1000;qXfer:features:read+;multiprocess-",
		"PacketSize=1000;qXfer:features:read+;xmultiprocess+",
		"PacketSize=1000;multiprocess+",
	};
	char text[200], frame[170];

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct vp_err err = { "" };
		size_t n = vp_gdb_frame(lists[i], strlen(lists[i]), frame);

		frame[n] = 0;
		/* Then PhyMemMode: as it should be. */
		snprintf(text, sizeof(text), "%s$0#30", frame);
		assert_int_equal(talk_to(text, false, &err), -EPROTO);
		assert_non_null(strstr(err.text, "no gdbstub of QEMU"));
	}
}

static void test_strangers(void **state)
{
	struct vp_err err;
	char *flood;

	(void)state;
	assert_int_equal(talk_to("", false, &err), -ETIMEDOUT);
	assert_int_equal(talk_to("", true, &err), -ECONNRESET);
	assert_int_equal(talk_to("220 smtp ready\r\n", false, &err), -EPROTO);
	assert_int_equal(talk_to("$OK#9a", false, &err), -EPROTO);
	assert_non_null(strstr(err.text, "no gdbstub of QEMU"));
	abilities();
	assert_int_equal(talk_to("$W00#b7", false, &err), -ECONNRESET);
	assert_int_equal(talk_to("$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6"
				 "$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6$T02#b6"
				 "$T02#b6$T02#b6",
				 false, &err),
			 -EPROTO);
	flood = calloc(1, 20001);
	memset(flood, 'A', 20000);
	flood[0] = '$';
	assert_int_equal(talk_to(flood, false, &err), -EPROTO);
	free(flood);
}

/* Whatever goes wrong at whatever message: an error in time, and no second try on that line. */
static void test_faults(void **state)
{
	uint8_t bytes[16] = { 0 };

	(void)state;
	for (unsigned int fault = FAKE_SILENT; fault < FAKE_FAULTS; fault++)
		for (unsigned int at = 1; at <= 5; at++) {
			struct fake_qemu *q = fake_qemu_new();
			struct vp_err err = { "" };
			struct vp_gdb *g = NULL;
			int was, rc, sock = vp_gdb_dial(q->gdb_path, &err);
			char *text = NULL;

			q->fault = fault;
			q->fault_at = at;
			rc = vp_gdb_open(sock, SHORT_MS, &g, &was, &err);
			if (!rc)
				rc = vp_gdb_hmp(g, "info status", &text, &err);
			if (!rc)
				rc = vp_gdb_read(g, VP_GPA(0x100000), bytes, 16, &err);
			if (!rc)
				rc = vp_gdb_write(g, VP_GPA(0x100000), bytes, 16, &err);
			assert_true(rc < 0);
			assert_true(err.text[0] && !strpbrk(err.text, "\r\n\xff"));
			if (g)
				assert_int_equal(vp_gdb_cont(g, &err), -ENOTCONN);
			vp_gdb_close(g);
			free(text);
			fake_qemu_free(q);
		}
}

/* It runs when all that was sent has been taken. */
static bool runs_at_last(struct fake_qemu *q)
{
	bool runs = false;

	for (unsigned int ms = 0; ms < HANG_MS && !runs; ms += 10) {
		usleep(10000);
		pthread_mutex_lock(&q->lock);
		runs = q->running && q->stub < 0;
		pthread_mutex_unlock(&q->lock);
	}
	return runs;
}

/*
 * The VM goes on, in the mode that was found, though its owner lets it go on before one packet
 * after the other; and though QEMU is so slow that we asked behind the detach.
 */
static void test_detach(void **state)
{
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };
	/* Behind each that is lost there are two questions. */
	static const unsigned int eager[] = { 0, 1, 1 << 3 | 1, 1 << 7 | 1 << 3 | 1,
					      1 << 4 | 1 << 1 };

	(void)state;
	for (unsigned int i = 0; i < 2 * sizeof(eager) / sizeof(eager[0]); i++) {
		struct fake_qemu *q = fake_qemu_new();
		struct vp_gdb *g;
		struct vp_err err = { "" };
		uint8_t byte;
		int was;

		q->major = versions[i & 1][0];
		q->minor = versions[i & 1][1];
		q->eager = i >= 2; /* before our first question, too */
		g = attach(q, &was);
		assert_int_equal(vp_gdb_read(g, VP_GPA(0), &byte, 1, &err), 0);
		pthread_mutex_lock(&q->lock);
		assert_true(q->physical);
		q->eager = eager[i / 2];
		q->detach_ms = i < 2 ? 1300 : 0;
		pthread_mutex_unlock(&q->lock);
		if (vp_gdb_detach(g, true, &err))
			fail_msg("%s", err.text);
		vp_gdb_close(g);
		assert_true(runs_at_last(q));
		assert_false(q->physical);
		fake_qemu_free(q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),	      cmocka_unit_test(test_unhex),
		cmocka_unit_test(test_memory),	      cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_packet_sizes),  cmocka_unit_test(test_mode_left_behind),
		cmocka_unit_test(test_run_and_stop),  cmocka_unit_test(test_paused_by_owner),
		cmocka_unit_test(test_other_machine), cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_faults),	      cmocka_unit_test(test_detach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
