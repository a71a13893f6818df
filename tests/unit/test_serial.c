/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port: readers of every kind (quick, slow, stopped, gone), input, interrupts. */
#include "unit.h"
#include "vmm/internal.h"
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define HANG_MS 20000 /* a generous limit: only a hang takes so long */
#define DATA	0u
#define IER	1u
#define IIR	2u
#define FCR	2u
#define LCR	3u
#define MCR	4u
#define LSR	5u
#define MSR	6u
#define SCR	7u

struct rig {
	struct vp_serial *s;
	int reader, writer;
	bool irq;
	unsigned int irqs; /* how often the line went up */
};

static struct rig rig;

static void on_irq(void *arg, bool level)
{
	struct rig *r = arg;

	assert_true(level != r->irq); /* changes only */
	r->irq = level;
	r->irqs += level;
}

static int setup(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	rig.reader = fds[0];
	rig.writer = fds[1];
	rig.irq = false;
	rig.irqs = 0;
	assert_int_equal(vp_serial_new(rig.writer, on_irq, &rig, &rig.s, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vp_serial_free(rig.s);
	close(rig.writer);
	if (rig.reader >= 0)
		close(rig.reader);
	return 0;
}

static void print(const char *text)
{
	for (; *text; text++)
		vp_serial_out(rig.s, DATA, (uint8_t)*text);
}

/* Read exactly @n bytes. */
static void read_exactly(char *buf, size_t n)
{
	struct pollfd p = { .fd = rig.reader, .events = POLLIN };
	size_t at = 0;

	while (at < n) {
		ssize_t got;

		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		got = read(rig.reader, buf + at, n - at);
		assert_true(got > 0);
		at += (size_t)got;
	}
}

static void expect(const char *text)
{
	char buf[256];
	size_t n = strlen(text);

	assert_true(n < sizeof(buf));
	read_exactly(buf, n);
	buf[n] = 0;
	assert_string_equal(buf, text);
}

static void test_print(void **state)
{
	(void)state;
	print("first line\n");
	expect("first line\n");
	/* A line that does not end comes out all the same. */
	print("prompt> ");
	expect("prompt> ");
	assert_int_equal(vp_serial_lost(rig.s), 0);
}

static void test_registers(void **state)
{
	(void)state;
	assert_int_equal(vp_serial_in(rig.s, LSR), 0x60);
	vp_serial_out(rig.s, LSR, 0);
	assert_int_equal(vp_serial_in(rig.s, LSR), 0x60);
	vp_serial_out(rig.s, SCR, 0x5a);
	assert_int_equal(vp_serial_in(rig.s, SCR), 0x5a);
	/* The baud rate is not printed. */
	vp_serial_out(rig.s, LCR, 0x83);
	vp_serial_out(rig.s, DATA, 'X');
	assert_int_equal(vp_serial_in(rig.s, DATA), 'X');
	vp_serial_out(rig.s, LCR, 0x03);
	print("ok\n");
	expect("ok\n");
}

static void test_flush(void **state)
{
	char buf[16];

	(void)state;
	print("no newline");
	vp_serial_flush(rig.s, HANG_MS);
	assert_int_equal(fcntl(rig.reader, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(rig.reader, buf, sizeof(buf)), 10);
}

/* More than the ring and the pipe hold, read slowly: nothing is lost. */
static void *slow_reader(void *arg)
{
	char *buf = arg;
	size_t at;

	for (at = 0; at < 4 * VP_CONSOLE_RING; at += 4096) {
		read_exactly(buf + at, 4096);
		usleep(500);
	}
	return NULL;
}

static void test_slow_reader(void **state)
{
	size_t n = 4 * VP_CONSOLE_RING, i;
	char *buf = malloc(n);
	pthread_t reader;

	(void)state;
	assert_non_null(buf);
	assert_int_equal(pthread_create(&reader, NULL, slow_reader, buf), 0);
	for (i = 0; i < n; i++)
		vp_serial_out(rig.s, DATA, (uint8_t)('a' + i % 23));
	pthread_join(reader, NULL);
	for (i = 0; i < n; i++)
		assert_int_equal(buf[i], 'a' + (char)(i % 23));
	assert_int_equal(vp_serial_lost(rig.s), 0);
	free(buf);
}

/* Nobody reads: the writer goes on, what is lost is counted, and told once somebody reads. */
static void test_stopped_reader(void **state)
{
	size_t pipe_size = (size_t)fcntl(rig.reader, F_GETPIPE_SZ);
	size_t n = 2 * (pipe_size + VP_CONSOLE_RING), held, i;
	char *buf = malloc(n), told[64];
	uint64_t lost;

	(void)state;
	assert_non_null(buf);
	for (i = 0; i < n; i++)
		vp_serial_out(rig.s, DATA, 'x');
	lost = vp_serial_lost(rig.s);
	assert_in_range(lost, 1, n);
	held = n - lost;
	read_exactly(buf, held);
	vp_serial_flush(rig.s, HANG_MS);
	print("back\n");
	snprintf(told, sizeof(told), "\n[vmpoke: %zu bytes of output lost]\nback\n", (size_t)lost);
	expect(told);
	free(buf);
}

/* With nobody reading, the end waits a moment, not for ever. (A hang fails the test's time limit.)
 */
static void test_free_with_stopped_reader(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 4 * VP_CONSOLE_RING; i++)
		vp_serial_out(rig.s, DATA, 'x');
	vp_serial_flush(rig.s, 10);
}

static void test_reader_gone(void **state)
{
	size_t i;

	(void)state;
	close(rig.reader);
	rig.reader = -1;
	/* No SIGPIPE, no waiting. */
	for (i = 0; i < 4 * VP_CONSOLE_RING; i++)
		vp_serial_out(rig.s, DATA, 'x');
	vp_serial_flush(rig.s, HANG_MS);
	assert_int_equal(vp_serial_lost(rig.s), 4 * VP_CONSOLE_RING);
}

static void test_nowhere(void **state)
{
	struct vp_serial *s;
	size_t i;

	(void)state;
	assert_int_equal(vp_serial_new(-1, NULL, NULL, &s, NULL), 0);
	for (i = 0; i < 4 * VP_CONSOLE_RING; i++)
		vp_serial_out(s, DATA, 'x');
	vp_serial_flush(s, HANG_MS);
	assert_int_equal(vp_serial_lost(s), 0);
	vp_serial_free(s);
}

#define WRITERS 4u
#define EACH	20000u

static void *print_letters(void *arg)
{
	unsigned int i;

	for (i = 0; i < EACH; i++)
		vp_serial_out(rig.s, DATA, *(const uint8_t *)arg);
	return NULL;
}

/* Several vCPUs at once: every byte comes out once. */
static void test_many_writers(void **state)
{
	static const uint8_t letters[WRITERS] = { 'a', 'b', 'c', 'd' };
	unsigned int count[256] = { 0 }, i;
	pthread_t writers[WRITERS];
	char *buf = malloc(WRITERS * EACH);

	(void)state;
	assert_non_null(buf);
	for (i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, print_letters,
						(void *)(uintptr_t)&letters[i]),
				 0);
	read_exactly(buf, WRITERS * EACH);
	for (i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	for (i = 0; i < WRITERS * EACH; i++)
		count[(uint8_t)buf[i]]++;
	for (i = 0; i < WRITERS; i++)
		assert_int_equal(count[letters[i]], EACH);
	assert_int_equal(vp_serial_lost(rig.s), 0);
	free(buf);
}

/* --- input and interrupts ------------------------------------------------------ */

static uint8_t get(unsigned int reg)
{
	return vp_serial_in(rig.s, reg);
}

static void set(unsigned int reg, uint8_t value)
{
	vp_serial_out(rig.s, reg, value);
}

static size_t type(const char *text)
{
	return vp_serial_input(rig.s, (const uint8_t *)text, strlen(text));
}

static void test_detection(void **state)
{
	(void)state;
	/* As a driver tells a 16550A from others: FIFO bits, IER of 4 bits, loopback. */
	set(IER, 0xff);
	assert_int_equal(get(IER), 0x0f);
	set(IER, 0);
	assert_int_equal(get(IER), 0);
	assert_int_equal(get(IIR), 0x01);
	set(FCR, 0x01);
	assert_int_equal(get(IIR), 0xc1);
	set(MCR, 0x1a); /* loop, OUT2, RTS */
	assert_int_equal(get(MSR) & 0xf0, 0x90);
	set(DATA, 'L');
	assert_int_equal(get(LSR) & 1, 1);
	assert_int_equal(get(DATA), 'L');
	set(MCR, 0x1f);
	assert_int_equal(get(MSR) & 0xf0, 0xf0);
	assert_false(rig.irq);
	set(MCR, 0);
	assert_int_equal(get(MSR), 0xb0);
	print("end\n");
	expect("end\n"); /* and the L did not go out */
}

static void test_input(void **state)
{
	const char *at;

	(void)state;
	set(MCR, 0x08);
	set(IER, 0x01);
	assert_int_equal(type("early"), 5);
	/* It waits until the guest is ready. */
	assert_int_equal(get(LSR), 0x60);
	assert_false(rig.irq);
	set(MCR, 0x0b);
	assert_true(rig.irq);
	assert_int_equal(get(IIR), 0x04);
	for (at = "early"; *at; at++) {
		assert_true(rig.irq);
		assert_int_equal(get(LSR), 0x61);
		assert_int_equal(get(DATA), *at);
	}
	assert_false(rig.irq);
	assert_int_equal(get(IIR), 0x01);
	assert_int_equal(rig.irqs, 1);
	/* Masked at the device, then at the gate. */
	set(IER, 0);
	type("x");
	assert_false(rig.irq);
	set(IER, 0x01);
	assert_true(rig.irq);
	set(MCR, 0x03);
	assert_false(rig.irq);
	set(FCR, 0x03);
	assert_int_equal(get(LSR), 0x60); /* thrown away */
}

/* A guest that says "not now" has at most a FIFO of it. */
static void test_flow(void **state)
{
	char text[101];
	size_t i;

	(void)state;
	for (i = 0; i < 100; i++)
		text[i] = (char)('a' + i % 26);
	text[100] = 0;
	set(MCR, 0x0b);
	assert_int_equal(type(text), 100);
	set(MCR, 0x09); /* RTS down */
	for (i = 0; get(LSR) & 1; i++)
		assert_int_equal(get(DATA), text[i]);
	assert_int_equal(i, 16);
	set(MCR, 0x0b);
	for (; get(LSR) & 1; i++)
		assert_int_equal(get(DATA), text[i]);
	assert_int_equal(i, 100);
}

static void test_input_overflow(void **state)
{
	static uint8_t bytes[2 * VP_SERIAL_INPUT];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 251);
	assert_int_equal(vp_serial_input(rig.s, bytes, sizeof(bytes)), VP_SERIAL_INPUT);
	assert_int_equal(vp_serial_input(rig.s, bytes, 1), 0);
	set(MCR, 0x0b);
	assert_int_equal(vp_serial_input(rig.s, bytes + VP_SERIAL_INPUT, sizeof(bytes)), 16);
	for (i = 0; get(LSR) & 1; i++)
		assert_int_equal(get(DATA), bytes[i]);
	assert_int_equal(i, VP_SERIAL_INPUT + 16);
}

/* "Transmitter empty": on switching it on, after each byte; told once by IIR. */
static void test_transmit_irq(void **state)
{
	(void)state;
	set(MCR, 0x0b);
	set(IER, 0x02);
	assert_true(rig.irq);
	assert_int_equal(get(IIR), 0x02);
	assert_false(rig.irq);
	assert_int_equal(get(IIR), 0x01);
	set(DATA, 'a');
	assert_true(rig.irq);
	/* Input comes first, and does not make it forgotten. */
	set(IER, 0x03);
	type("b");
	assert_int_equal(get(IIR), 0x04);
	assert_int_equal(get(DATA), 'b');
	assert_true(rig.irq);
	assert_int_equal(get(IIR), 0x02);
	assert_false(rig.irq);
	set(IER, 0);
	set(IER, 0x02);
	assert_true(rig.irq);
	set(IER, 0);
	assert_false(rig.irq);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_print),	   TEST(test_registers),
		TEST(test_flush),	   TEST(test_slow_reader),
		TEST(test_stopped_reader), TEST(test_free_with_stopped_reader),
		TEST(test_reader_gone),	   TEST(test_nowhere),
		TEST(test_many_writers),   TEST(test_detection),
		TEST(test_input),	   TEST(test_flow),
		TEST(test_input_overflow), TEST(test_transmit_irq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
