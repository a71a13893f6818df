/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake QEMU's gdbstub. It takes bytes as gdb_read_byte() of QEMU 7.2 does: while the VM runs
 * any byte stops it, but an acknowledgement that is waited for.
 */
#include "fake_qemu.h"

#include "target/gdb_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* All of it, however full the socket is (qemu_chr_write_all()). */
static void send_all(int fd, const char *bytes, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (fd >= 0 && len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && (errno != EAGAIN || poll(&p, 1, 5000) <= 0))
			return;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

static void put(struct fake_qemu *q, const char *payload)
{
	size_t len = strlen(payload);
	char *frame = malloc(len + 8);

	len = vp_gdb_frame(payload, len, frame);
	send_all(q->stub, frame, len);
	free(frame);
	q->unanswered = true;
}

void fake_stub_stopped(struct fake_qemu *q)
{
	bool silent = q->major > 8 || (q->major == 8 && q->minor >= 1);

	if (q->stub >= 0 && q->attached && (!silent || q->may_tell))
		put(q, "T02thread:p01.01;");
	q->may_tell = false;
}

void fake_stub_open(struct fake_qemu *q, int fd, bool own)
{
	q->stub = fd;
	q->own_stub = own;
	/* A character device that is open already stops the VM before the stub is active, which
	 * then tells nothing (gdbserver_start()). */
	q->attached = !own;
	q->may_tell = false;
	q->unanswered = q->mute_stub = false;
	q->packet_state = 0;
	fake_qemu_pause(q);
	q->attached = true;
}

void fake_stub_close(struct fake_qemu *q)
{
	if (q->stub >= 0)
		close(q->stub);
	q->stub = -1;
}

static bool is_ram(uint64_t at, size_t n)
{
	return at + n <= FAKE_RAM && (at + n <= 0xa0000 || at >= 0x100000);
}

static void write_memory(struct fake_qemu *q, uint64_t at, size_t n, const char *hex)
{
	uint8_t *bytes = malloc(n + 1);

	if (*hex == ':' && vp_gdb_unhex(hex + 1, strlen(hex + 1), bytes, n)) {
		if (is_ram(at, n) && !q->not_ram && q->physical)
			memcpy((q->elsewhere ? q->elsewhere : q->ram) + at, bytes, n);
		put(q, "OK");
	} else {
		put(q, "E22");
	}
	free(bytes);
}

static void read_memory(struct fake_qemu *q, uint64_t at, size_t n)
{
	const uint8_t *ram = q->elsewhere ? q->elsewhere : q->ram;
	char *hex = malloc(2 * n + 1);

	for (size_t i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x",
			 is_ram(at, n) && q->physical ? (unsigned int)ram[at + i] : 0u);
	hex[2 * n] = 0;
	put(q, hex);
	free(hex);
}

static void memory(struct fake_qemu *q, const char *args, bool write)
{
	uint64_t at, n;
	int used = 0;

	if (sscanf(args, "%" SCNx64 ",%" SCNx64 "%n", &at, &n, &used) != 2 ||
	    n > q->packet_size / 2)
		put(q, "E22");
	else if (write)
		write_memory(q, at, n, args + used);
	else
		read_memory(q, at, n);
}

static void rcmd(struct fake_qemu *q, const char *hex)
{
	size_t n = strlen(hex) / 2;
	char command[256] = "", *text, *line, *rest, out[4096];

	if (n < sizeof(command))
		vp_gdb_unhex(hex, 2 * n, (uint8_t *)command, n);
	text = rest = fake_qemu_hmp(q, command);
	while ((line = strsep(&rest, "\n"))) { /* one packet a line, as QEMU flushes */
		size_t at = 1;

		out[0] = 'O';
		for (; *line && at < sizeof(out) - 8; line++, at += 2)
			snprintf(out + at, 3, "%02x", (unsigned int)(unsigned char)*line);
		strcpy(out + at, "0a");
		put(q, out);
	}
	free(text);
	put(q, "OK");
}

/* --- breakpoints and registers -------------------------------------------------- */

static void breakpoint(struct fake_qemu *q, const char *p)
{
	uint64_t addr = strtoull(p + 3, NULL, 16);
	size_t i;

	for (i = 0; i < q->nbreaks && q->breaks[i] != addr; i++)
		;
	if (p[0] == 'Z' && !q->no_breaks && q->nbreaks < 8) {
		q->breaks[q->nbreaks++] = addr;
		put(q, "OK");
	} else if (p[0] == 'z' && i < q->nbreaks) {
		q->breaks[i] = q->breaks[--q->nbreaks];
		put(q, "OK");
	} else {
		put(q, "E22");
	}
}

static void registers(struct fake_qemu *q, const char *p)
{
	uint8_t *regs = q->regs[q->vcpu];
	char hex[2 * sizeof(q->regs[0]) + 9];

	if (p[0] == 'G') { /* as many as there are */
		if (!q->deaf)
			vp_gdb_unhex(p + 1, strlen(p + 1), regs, strlen(p + 1) / 2);
		put(q, "OK");
		return;
	}
	for (size_t i = 0; i < sizeof(q->regs[0]); i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned int)regs[i]);
	strcpy(hex + 2 * sizeof(q->regs[0]), "10000000");
	put(q, hex);
}

static void packet(struct fake_qemu *q)
{
	const char *p = q->packet;
	char text[160];

	q->packets++;
	if (fake_qemu_fault(q, &q->stub, &q->mute_stub, "$E22#a9", "$T05thread:p01.01;#46$QQ#a2"))
		return;
	if (q->stub >= 0) /* what is acknowledged is carried out */
		(void)!send(q->stub, "+", 1, MSG_NOSIGNAL);
	if (!strcmp(p, "qSupported:multiprocess+")) {
		snprintf(text, sizeof(text), "PacketSize=%zx;%s", q->packet_size, q->features);
		put(q, text);
	} else if (!strcmp(p, "qqemu.PhyMemMode"))
		put(q, q->physical ? "1" : "0");
	else if (!strncmp(p, "Qqemu.PhyMemMode:", 17)) {
		q->physical = p[17] == '1';
		put(q, "OK");
	} else if (p[0] == 'm')
		memory(q, p + 1, false);
	else if (p[0] == 'M')
		memory(q, p + 1, true);
	else if (!strncmp(p, "qRcmd,", 6) && !q->no_monitor)
		rcmd(q, p + 6);
	else if (!strncmp(p, "qXfer:features:read:target.xml:", 31)) {
		snprintf(text, sizeof(text), "l<target><architecture>%s</architecture></target>",
			 strcmp(q->arch, "x86_64") ? q->arch : "i386:x86-64");
		put(q, text);
	} else if (!strcmp(p, "vCont;c")) {
		q->may_tell = true;
		fake_qemu_cont(q);
		if (q->went_on)
			q->went_on(q);
	} else if (!strncmp(p, "Z1,", 3) || !strncmp(p, "z1,", 3)) {
		breakpoint(q, p);
	} else if (!strncmp(p, "Hgp1.", 5) && p[5] >= '1' && p[5] <= '2' && !p[6]) {
		q->vcpu = (unsigned int)(p[5] - '1');
		put(q, "OK");
	} else if (!strcmp(p, "qfThreadInfo") || !strcmp(p, "qsThreadInfo")) {
		q->listed = p[1] == 'f' ? 1 : q->listed + 1;
		snprintf(text, sizeof(text), q->listed > 2 ? "l" : "mp01.%02x", q->listed);
		put(q, text);
	} else if (!strcmp(p, "g") || p[0] == 'G') {
		registers(q, p);
	} else if (!strcmp(p, "D;1")) {
		if (!q->attached) /* it is what QEMU does, too */
			abort();
		usleep(1000 * q->detach_ms);
		q->attached = false;
		q->nbreaks = 0;
		fake_qemu_cont(q);
		put(q, "OK");
	} else
		put(q, "");
}

static void byte(struct fake_qemu *q, char c)
{
	if (q->unanswered) {
		if (c == '+' || c == '$')
			q->unanswered = false;
		if (c != '$')
			return;
	}
	if (c == '$' && q->packet_state == 0) {
		if (q->eager & 1)
			fake_qemu_cont(q);
		q->eager >>= 1;
	}
	if (q->running) {
		usleep(1000 * q->stop_ms);
		fake_qemu_pause(q);
		return;
	}
	switch (q->packet_state) {
	case 0:
		q->packet_len = 0;
		q->packet_state = c == '$';
		break;
	case 1:
		if (c == '#')
			q->packet_state = 2;
		else if (q->packet_len < q->packet_size - 1 &&
			 q->packet_len < sizeof(q->packet) - 1)
			q->packet[q->packet_len++] = c;
		else
			q->packet_state = 0; /* it is dropped, without an answer */
		break;
	case 2:
		q->packet_state = 3;
		break;
	case 3:
		q->packet[q->packet_len] = 0;
		if (q->packet_len + 4 > q->longest)
			q->longest = q->packet_len + 4;
		q->packet_state = 0;
		packet(q);
		break;
	}
}

void fake_stub_bytes(struct fake_qemu *q, const char *bytes, size_t n)
{
	q->turns += n != 1 || *bytes != '+'; /* that tells nothing that is to be answered */
	for (size_t i = 0; i < n && q->stub >= 0 && !q->mute_stub; i++)
		byte(q, bytes[i]);
}
