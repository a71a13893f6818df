/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to a gdbstub, finding out whether it is QEMU's, and undoing that. */
#include "target/gdb.h"
#include "target/gdb_internal.h"
#include "target/hmp.h"
#include "target/process.h"
#include "target/qmp_wire.h"
#include "target/wait.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int vp_gdb_dial(const char *path, struct vp_err *err)
{
	struct sockaddr_un addr;
	int rc = vp_qmp_address(path, &addr, err);
	int fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vp_err_set(err, -errno, "socket: %s", strerror(errno));
	rc = vp_process_ask(fd);
	if (rc)
		vp_err_set(err, rc, "socket: %s", strerror(-rc));
	else if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		rc = vp_err_set(err, -errno, "gdbstub %.120s: %s", path, strerror(errno));
	else if (geteuid())
		rc = vp_qmp_check_peer(fd, err);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* The value of "NAME=VALUE", or what follows NAME, in a list with ';' between; NULL: not in it. */
static const char *feature(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (strncmp(list, name, n)) {
		list = strchr(list, ';');
		if (!list)
			return NULL;
		list++;
	}
	return list + n;
}

static bool has(const char *list, const char *name)
{
	const char *end = feature(list, name);

	return end && (!*end || *end == ';');
}

#define PACKET_MIN 0x200 /* our longest request but those with bytes of memory in them */
#define CHUNK_MIN  128	 /* bytes of memory that any of them gives */
#define CHUNK_ROOM 96	 /* what stands around the bytes: "$M1fffffffffffff,fff0:#00" */

/*
 * What it must be able to do is what tells a stub of QEMU that we can use. Its numbers are hex: the
 * packets it takes differ from version to version.
 */
static int take_features(struct vp_gdb *g, const char *list, struct vp_err *err)
{
	const char *digits = feature(list, "PacketSize=");
	char *end = NULL;
	unsigned long size =
		digits && isxdigit((unsigned char)*digits) ? strtoul(digits, &end, 16) : 0;

	if (size < PACKET_MIN || (*end && *end != ';'))
		return vp_err_set(err, -EPROTO,
				  "this is no gdbstub of QEMU: it tells no PacketSize of use");
	if (!has(list, "multiprocess+") || !has(list, "qXfer:features:read+"))
		return vp_err_set(err, -EPROTO, "this is no gdbstub of QEMU: it lacks %s",
				  has(list, "multiprocess+") ? "target descriptions"
							     : "multiprocess");
	g->packet = size < VP_GDB_PACKET_MAX ? size : VP_GDB_PACKET_MAX;
	g->in.packet = g->packet;
	g->chunk = (g->packet - CHUNK_ROOM) / 2;
	return 0;
}

/* The mode outlives connections: one that somebody left behind is ours to set back, too. */
static int take_mode(struct vp_gdb *g, const char *mode, struct vp_err *err)
{
	if (strcmp(mode, "0") && strcmp(mode, "1"))
		return vp_err_set(err, -EPROTO,
				  "this is no gdbstub of QEMU: it lacks Qqemu.PhyMemMode");
	g->physical = *mode == '1';
	return 0;
}

int vp_gdb_undo(struct vp_gdb *g, bool announced, struct vp_err *err)
{
	bool ours = announced;
	char *text = NULL;
	int rc = ours ? 0 : vp_gdb_hmp(g, "info version", &text, err);

	if (rc == -EPROTO) /* no monitor of QEMU is behind it */
		return 0;
	if (rc)
		return rc;
	if (!ours)
		ours = vp_hmp_version(text) && !vp_gdb_announces(vp_hmp_version(text));
	free(text);
	return vp_gdb_detach(g, ours, err);
}

/*
 * What it can do, and its mode, and @x (NULL: nothing more), all at once. The first of it is lost
 * if the owner lets the VM go on just then: then all is passed by, and asked again without @x.
 */
#define TRIES 16

static int ask_all(struct vp_gdb *g, struct vp_gdb_transfer *x, int64_t deadline,
		   struct vp_err *err)
{
	int rc, sent;

	vp_gdb_hold(g);
	rc = vp_gdb_ask(g, deadline, err, VP_GDB_PROBE);
	if (!rc)
		rc = vp_gdb_ask(g, deadline, err, "qqemu.PhyMemMode");
	if (!rc && x)
		return vp_gdb_transfer_ask(x, err);
	sent = vp_gdb_flush(g, deadline, err);
	return rc ? rc : sent;
}

static bool is_mode(const char *payload)
{
	return !strcmp(payload, "0") || !strcmp(payload, "1");
}

/* Pass by what was asked behind what was lost, or is of no use. The connection is good then. */
static int pass_by(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	int rc = vp_gdb_lost(g, deadline, err);

	return vp_gdb_ran(g) ? 0 : rc;
}

static int ask_until_known(struct vp_gdb *g, struct vp_gdb_transfer **x, char **payload,
			   unsigned int *stops, int64_t deadline, struct vp_err *err)
{
	size_t len;
	int rc;

	for (unsigned int i = 0; i < TRIES; i++) {
		rc = ask_all(g, *x, deadline, err);
		if (!rc)
			rc = vp_gdb_answer(g, payload, &len, stops, deadline, err);
		if (rc || !is_mode(*payload))
			return rc;
		if (*x)
			rc = pass_by(g, deadline, err);
		if (rc)
			return rc;
		*x = NULL;
	}
	return vp_err_set(err, -EAGAIN, "somebody lets the VM go on all the time: try again");
}

/* The answer behind what it can do, which may come twice if it was asked for again. */
static int answer_mode(struct vp_gdb *g, char **payload, unsigned int *stops, int64_t deadline,
		       struct vp_err *err)
{
	size_t len;
	int rc;

	do
		rc = vp_gdb_answer(g, payload, &len, stops, deadline, err);
	while (!rc && !strncmp(*payload, VP_GDB_PROBE_ANSWER, strlen(VP_GDB_PROBE_ANSWER)));
	return rc;
}

/* What was asked with the first words. That somebody let the VM go on costs no more than that. */
static int take_look(struct vp_gdb *g, struct vp_gdb_transfer *x, struct vp_gdb_look *look,
		     struct vp_err *err)
{
	int rc = vp_gdb_transfer_rest(x, err);

	look->done = !rc;
	return vp_gdb_ran(g) ? 0 : rc;
}

/*
 * QEMU up to 8.0 announces the stop that our connecting caused before it answers anything, and
 * announces nothing if the VM stood still before. From 8.1 on it announces nothing at all.
 */
static int greet(struct vp_gdb *g, struct vp_gdb_look *look, int *was_running, int64_t deadline,
		 struct vp_err *err)
{
	struct vp_gdb_transfer with = { .g = g, .deadline = deadline }, *x = NULL;
	bool answered, refused;
	unsigned int stops = 0;
	char *payload;
	int rc;

	if (look) {
		with.what = *look;
		with.mode = look->n;
		x = &with;
	}
	rc = ask_until_known(g, &x, &payload, &stops, deadline, err);
	answered = !rc;
	if (!rc)
		rc = take_features(g, payload, err);
	refused = answered && rc;
	if (answered && answer_mode(g, &payload, &stops, deadline, rc ? NULL : err))
		rc = rc ? rc : -ETIMEDOUT;
	else if (answered && !rc) {
		rc = take_mode(g, payload, err);
		refused = rc;
	}
	*was_running = stops > 0;
	if (!rc && x && look)
		return take_look(g, x, look, err);
	/* It speaks, but not as we need it: to connect was to stop it all the same. */
	if (refused && (!x || !pass_by(g, deadline, NULL)))
		*was_running = vp_gdb_undo(g, stops > 0, NULL) != 0;
	return vp_gdb_finish(g, rc, deadline, err);
}

int vp_gdb_open_looking(int sock, unsigned int timeout_ms, struct vp_gdb_look *look,
			struct vp_gdb **out, int *was_running, struct vp_err *err)
{
	struct vp_gdb *g = calloc(1, sizeof(*g));
	int rc;

	if (!g) {
		close(sock);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	g->sock = sock;
	g->timeout_ms = timeout_ms;
	g->packet = PACKET_MIN;
	g->chunk = CHUNK_MIN;
	rc = greet(g, look, was_running, vp_now_ms() + timeout_ms, err);
	if (rc)
		vp_gdb_close(g);
	else
		*out = g;
	return rc;
}

int vp_gdb_open(int sock, unsigned int timeout_ms, struct vp_gdb **out, int *was_running,
		struct vp_err *err)
{
	return vp_gdb_open_looking(sock, timeout_ms, NULL, out, was_running, err);
}

#define ACK_MS 20 /* it was sent a while ago, as a rule */

bool vp_gdb_went_on(struct vp_gdb *g)
{
	struct pollfd p = { .fd = g->sock, .events = POLLIN };

	(void)poll(&p, 1, ACK_MS);
	while (vp_gdb_in_recv(&g->in, g->sock) > 0)
		;
	return !g->broken && g->in.tail - g->in.head == 1 && g->in.buf[g->in.head] == '+';
}

int vp_gdb_peer(const struct vp_gdb *g)
{
	return g->in.sender;
}

void vp_gdb_close(struct vp_gdb *g)
{
	if (!g)
		return;
	close(g->sock);
	free(g);
}
