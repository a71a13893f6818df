/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a stopped VM over the gdbstub: memory, QEMU's human monitor, its architecture.
 */
#include "target/gdb_internal.h"
#include "target/gdb.h"
#include "target/wait.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is under way of reads, in bytes: the replies to small packets fit the socket's buffer; of
 * large ones there are two, so that QEMU works on one while we take the other.
 */
#define AHEAD	32000u
#define HMP_MAX (16ul << 20) /* what a monitor command may print: 4096 vCPUs need 11 MB */

/* --- memory ------------------------------------------------------------------ */

static int begin_memory(struct vp_gdb *g, int64_t *deadline, struct vp_err *err)
{
	int rc = vp_gdb_begin(g, deadline, err);

	if (rc || g->physical)
		return rc;
	return vp_gdb_finish(g, vp_gdb_physical(g, true, *deadline, err), *deadline, err);
}

static int take_bytes(struct vp_gdb *g, uint8_t *to, size_t n, int64_t deadline, struct vp_err *err)
{
	char *payload;
	size_t len;
	int rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);

	if (!rc && !vp_gdb_unhex(payload, len, to, n))
		rc = vp_gdb_unexpected("a read of memory", payload, err);
	return rc;
}

static size_t chunk(size_t len, size_t at, size_t max)
{
	return len - at < max ? len - at : max;
}

int vp_gdb_read(struct vp_gdb *g, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	size_t asked = 0, got = 0, ahead = 2 * g->chunk < AHEAD ? AHEAD : 2 * g->chunk;
	uint8_t *to = buf;
	int64_t deadline;
	int rc = begin_memory(g, &deadline, err);

	if (rc)
		return rc;
	while (!rc && got < len) {
		if (asked < len && asked - got < ahead) {
			size_t n = chunk(len, asked, g->chunk);

			rc = vp_gdb_ask(g, deadline, err, "m%" PRIx64 ",%zx", gpa.v + asked, n);
			asked += n;
			continue;
		}
		rc = take_bytes(g, to + got, chunk(len, got, g->chunk), deadline, err);
		got += chunk(len, got, g->chunk);
		deadline = vp_now_ms() + g->timeout_ms; /* it makes progress */
	}
	return vp_gdb_finish(g, rc, deadline, err);
}

static int write_packet(struct vp_gdb *g, uint64_t gpa, const uint8_t *from, size_t n,
			int64_t deadline, struct vp_err *err)
{
	static const char digits[] = "0123456789abcdef";
	size_t at = (size_t)snprintf(g->payload, 64, "M%" PRIx64 ",%zx:", gpa, n);

	for (size_t i = 0; i < n; i++) {
		g->payload[at++] = digits[from[i] >> 4];
		g->payload[at++] = digits[from[i] & 15];
	}
	return vp_gdb_send(g, g->payload, at, deadline, err);
}

/* The bytes as they were written. */
static int compare(struct vp_gdb *g, const uint8_t *from, size_t n, int64_t deadline, bool *same,
		   struct vp_err *err)
{
	char *payload;
	size_t len;
	int rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);

	*same = true;
	if (!rc && len != 2 * n)
		return vp_gdb_unexpected("a read of memory", payload, err);
	for (size_t i = 0; !rc && i < n; i++) {
		uint8_t byte;

		if (!vp_gdb_unhex(payload + 2 * i, 2, &byte, 1))
			return vp_gdb_unexpected("a read of memory", payload, err);
		*same &= byte == from[i];
	}
	return rc;
}

/* Write and read back in one round trip: QEMU answers OK whatever became of the bytes. */
static int write_checked(struct vp_gdb *g, uint64_t gpa, const uint8_t *from, size_t n,
			 int64_t deadline, struct vp_err *err)
{
	bool same = false;
	int rc = write_packet(g, gpa, from, n, deadline, err);

	if (!rc)
		rc = vp_gdb_ask(g, deadline, err, "m%" PRIx64 ",%zx", gpa, n);
	if (!rc)
		rc = vp_gdb_want_ok(g, "a write of memory", deadline, err);
	if (!rc)
		rc = compare(g, from, n, deadline, &same, err);
	rc = vp_gdb_finish(g, rc, deadline, err);
	if (!rc && !same)
		rc = vp_err_set(err, -EIO,
				"guest-physical 0x%" PRIx64 " did not take the bytes: "
				"is it RAM?",
				gpa);
	return rc;
}

int vp_gdb_write(struct vp_gdb *g, vp_gpa gpa, const void *buf, size_t len, struct vp_err *err)
{
	int64_t deadline;
	int rc = begin_memory(g, &deadline, err);

	for (size_t at = 0; !rc && at < len; at += chunk(len, at, g->chunk))
		rc = write_checked(g, gpa.v + at, (const uint8_t *)buf + at,
				   chunk(len, at, g->chunk), deadline, err);
	return rc;
}

/* --- the human monitor, and what machine it is ------------------------------- */

static int append_output(char **text, size_t *used, const char *hex, size_t len, struct vp_err *err)
{
	char *more;

	if (len % 2 || *used + len / 2 > HMP_MAX)
		return vp_err_set(err, -EPROTO, "gdbstub: the monitor's output makes no sense");
	more = realloc(*text, *used + len / 2 + 1);
	if (!more)
		return vp_err_set(err, -ENOMEM, "out of memory");
	*text = more;
	if (!vp_gdb_unhex(hex, len, (uint8_t *)more + *used, len / 2))
		return vp_err_set(err, -EPROTO, "gdbstub: the monitor's output is not hex");
	*used += len / 2;
	more[*used] = 0;
	return 0;
}

/* Output packets ('O' and hex, but "OK" is the end) until the end. */
static int collect(struct vp_gdb *g, const char *command, char **text, int64_t deadline,
		   struct vp_err *err)
{
	size_t len, used = 0;
	char *payload;
	int rc;

	for (;;) {
		rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);
		if (rc || !strcmp(payload, "OK"))
			return rc;
		if (payload[0] != 'O')
			return vp_gdb_unexpected(command, payload, err);
		rc = append_output(text, &used, payload + 1, len - 1, err);
		if (rc)
			return rc;
	}
}

int vp_gdb_hmp(struct vp_gdb *g, const char *command, char **text, struct vp_err *err)
{
	char hex[512] = "qRcmd,";
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (rc)
		return rc;
	if (strlen(command) > 200)
		return vp_err_set(err, -EINVAL, "gdbstub: the monitor command is too long");
	for (size_t i = 0; command[i]; i++)
		snprintf(hex + 6 + 2 * i, 3, "%02x", (unsigned int)(unsigned char)command[i]);
	*text = calloc(1, 1);
	rc = *text ? vp_gdb_ask(g, deadline, err, "%s", hex)
		   : vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = collect(g, command, text, deadline, err);
	rc = vp_gdb_finish(g, rc, deadline, err);
	if (rc) {
		free(*text);
		*text = NULL;
	}
	return rc;
}

int vp_gdb_check_arch(struct vp_gdb *g, struct vp_err *err)
{
	int64_t deadline;
	char *payload = NULL;
	size_t len;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (rc)
		return rc;
	rc = vp_gdb_ask(g, deadline, err, "qXfer:features:read:target.xml:0,%zx",
			g->packet < 0x1000 ? g->packet - 5 : 0xffb);
	if (!rc)
		rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);
	rc = vp_gdb_finish(g, rc, deadline, err);
	if (!rc && payload && !strstr(payload, "<architecture>i386:x86-64</architecture>"))
		rc = vp_err_set(err, -EOPNOTSUPP,
				"the guest is not an x86-64 machine: vmpoke "
				"cannot patch it");
	return rc;
}
