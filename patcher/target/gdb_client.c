/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets out, replies back. QEMU has no QStartNoAckMode, and any byte that reaches it while the
 * VM runs stops the VM (gdb_read_byte() in QEMU's gdbstub.c), an acknowledgement, too, unless it
 * waits for one. So: one acknowledgement an exchange, sent at once after its last reply. Replies
 * before it need none: QEMU forgets about them when the next packet begins.
 */
#include "base/tell.h"
#include "target/gdb_internal.h"
#include "target/gdb.h"
#include "target/wait.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 500 /* for a stop that may not come */
#define NAME	 "the gdbstub"

static int wait_for(struct vp_gdb *g, short events, int64_t deadline, struct vp_err *err)
{
	struct pollfd p = { .fd = g->sock, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - vp_now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return vp_err_set(err, -ETIMEDOUT, "the gdbstub does not answer within %u ms",
			  g->timeout_ms);
}

static int send_bytes(struct vp_gdb *g, const char *bytes, size_t len, int64_t deadline,
		      struct vp_err *err)
{
	while (len) {
		ssize_t n = send(g->sock, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int rc = 0;

		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			rc = wait_for(g, POLLOUT, deadline, err);
		} else if (errno == EPIPE) {
			rc = vp_err_set(err, -ECONNRESET, "the gdbstub closed the connection");
		} else if (errno != EINTR) {
			rc = vp_err_set(err, -errno, "gdbstub: %s", strerror(errno));
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* What is asked, for whoever wants to hear it. */
static void tell(const char *payload, size_t len)
{
	char what[64];

	if (!vp_is_asked_heard())
		return;
	snprintf(what, sizeof(what), "%.*s", len < sizeof(what) ? (int)len : (int)sizeof(what) - 1,
		 payload);
	vp_tell_asked(NAME, what);
}

void vp_gdb_hold(struct vp_gdb *g)
{
	g->holds = true;
}

static int send_queued(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	size_t n = g->queued;

	g->queued = 0;
	return send_bytes(g, g->frame, n, deadline, err);
}

int vp_gdb_flush(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	g->holds = false;
	return send_queued(g, deadline, err);
}

int vp_gdb_send(struct vp_gdb *g, const char *payload, size_t len, int64_t deadline,
		struct vp_err *err)
{
	int rc = 0;

	if (len + 4 > g->packet)
		return vp_err_set(err, -EINVAL, "gdbstub: the request is too long");
	tell(payload, len);
	if (g->queued + len + 4 > sizeof(g->frame))
		rc = send_queued(g, deadline, err);
	g->queued += vp_gdb_frame(payload, len, g->frame + g->queued);
	return rc || g->holds ? rc : send_queued(g, deadline, err);
}

int vp_gdb_ask(struct vp_gdb *g, int64_t deadline, struct vp_err *err, const char *fmt, ...)
{
	char payload[VP_GDB_PACKET];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(payload, sizeof(payload), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(payload))
		return vp_err_set(err, -EINVAL, "gdbstub: the request is too long");
	return vp_gdb_send(g, payload, (size_t)n, deadline, err);
}

static int acknowledge(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	return send_bytes(g, "+", 1, deadline, err);
}

/* The next packet, whatever it is. */
static int receive(struct vp_gdb *g, char **payload, size_t *len, int64_t deadline,
		   struct vp_err *err)
{
	int rc;

	while (!(rc = vp_gdb_in_next(&g->in, payload, len, err))) {
		ssize_t n = vp_gdb_in_recv(&g->in, g->sock);

		if (n > 0)
			continue;
		if (!n)
			return vp_err_set(err, -ECONNRESET, "the gdbstub closed the connection");
		if (n != -EAGAIN)
			return vp_err_set(err, (int)n, "gdbstub: %s", strerror((int)-n));
		rc = wait_for(g, POLLIN, deadline, err);
		if (rc)
			return rc;
	}
	return rc < 0 ? rc : 0;
}

static bool is_stop(const char *payload)
{
	return payload[0] == 'T' || payload[0] == 'S';
}

/*
 * Whoever lets a VM go on that we hold makes the next byte that we send a stop, and the packet that
 * it begins is lost. So the VM stands again: find back into step, by a question whose answer cannot
 * be taken for another, and say so.
 */
#define PROBE_MS 1000 /* QEMU answers within this, or the packet may be lost */

static bool is_probe_answer(const char *payload)
{
	return !strncmp(payload, VP_GDB_PROBE_ANSWER, strlen(VP_GDB_PROBE_ANSWER));
}

static int resumed_elsewhere(struct vp_gdb *g, struct vp_err *err)
{
	g->ran = true;
	return vp_err_set(err, -EAGAIN,
			  "somebody let the VM go on while vmpoke held it: try again");
}

#define ANSWERS_MAX \
	65536u /* more than are ever under way, with the lines of what a command prints */

/* Twice: if it was let go on yet again, the first one stops it. */
static int probe(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	int rc = vp_gdb_ask(g, deadline, err, VP_GDB_PROBE);

	return rc ? rc : vp_gdb_ask(g, deadline, err, VP_GDB_PROBE);
}

int vp_gdb_lost(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	char *payload;
	size_t len;
	int rc = probe(g, deadline, err);

	for (unsigned int i = 0; !rc && i < ANSWERS_MAX; i++) {
		rc = receive(g, &payload, &len, deadline, err);
		if (!rc && is_probe_answer(payload))
			return resumed_elsewhere(g, err);
	}
	return rc ? rc : vp_err_set(err, -EPROTO, "gdbstub: answers without an end");
}

/* From QEMU 8.1 on nothing tells of such a stop: a packet that is not answered may be lost. */
static int receive_held(struct vp_gdb *g, char **payload, size_t *len, int64_t deadline,
			struct vp_err *err)
{
	unsigned int patience = g->timeout_ms / 2 < PROBE_MS ? g->timeout_ms / 2 : PROBE_MS;
	int64_t soon = vp_now_ms() + patience;
	bool probed = false;

	g->probed = false;
	for (unsigned int i = 0; i < 64; i++) {
		int rc = receive(g, payload, len, probed || soon > deadline ? deadline : soon, err);

		if (rc == -ETIMEDOUT && !probed) {
			rc = probe(g, deadline, err);
			g->probed = probed = true;
			if (!rc)
				continue;
		}
		if (rc || !is_probe_answer(*payload)) /* it was merely slow */
			return rc;
		if (probed)
			return resumed_elsewhere(g, err);
		/* else it is left over from an earlier probe */
	}
	return vp_err_set(err, -EPROTO, "gdbstub: answers without an end");
}

bool vp_gdb_ran(struct vp_gdb *g)
{
	bool ran = g->ran;

	g->ran = false;
	return ran;
}

/*
 * The answer to a request. Stop replies may stand before it: somebody paused the VM, which was
 * stopped anyway or was just being stopped.
 */
static int take_answer(struct vp_gdb *g, char **payload, size_t *len, unsigned int *stops,
		       int64_t deadline, struct vp_err *err)
{
	for (unsigned int i = 0; i < 16; i++) {
		int rc = stops ? receive(g, payload, len, deadline, err)
			       : receive_held(g, payload, len, deadline, err);

		if (rc)
			return rc;
		if (!stops && is_stop(*payload))
			return vp_gdb_lost(g, deadline, err);
		if ((*payload)[0] == 'W' || (*payload)[0] == 'X')
			return vp_err_set(err, -ECONNRESET, "the VM has ended");
		if (!is_stop(*payload))
			return 0;
		if (stops)
			(*stops)++;
	}
	return vp_err_set(err, -EPROTO, "gdbstub: one stop reply after the other");
}

int vp_gdb_answer(struct vp_gdb *g, char **payload, size_t *len, unsigned int *stops,
		  int64_t deadline, struct vp_err *err)
{
	int rc = take_answer(g, payload, len, stops, deadline, err);

	vp_tell_answered(NAME);
	return rc;
}

int vp_gdb_unexpected(const char *what, const char *payload, struct vp_err *err)
{
	char text[32];
	size_t i;

	for (i = 0; i < sizeof(text) - 1 && payload[i]; i++)
		text[i] = (char)(payload[i] > ' ' && payload[i] <= '~' ? payload[i] : '?');
	text[i] = 0;
	return vp_err_set(err, -EPROTO, "gdbstub: unexpected answer to %s: '%s'", what, text);
}

/* The last reply of an exchange was @rc; afterwards the connection works or is broken. */
int vp_gdb_finish(struct vp_gdb *g, int rc, int64_t deadline, struct vp_err *err)
{
	if (rc == -EAGAIN && g->ran) {
		if (!acknowledge(g, deadline, err))
			return rc;
	} else if (!rc) {
		rc = acknowledge(g, deadline, err);
	}
	if (rc)
		g->broken = true;
	return rc;
}

int vp_gdb_begin(struct vp_gdb *g, int64_t *deadline, struct vp_err *err)
{
	*deadline = vp_now_ms() + g->timeout_ms;
	if (g->broken)
		return vp_err_set(err, -ENOTCONN,
				  "the connection to the gdbstub broke off earlier");
	return 0;
}

int vp_gdb_want_ok(struct vp_gdb *g, const char *what, int64_t deadline, struct vp_err *err)
{
	char *payload;
	size_t len;
	int rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);

	if (!rc && strcmp(payload, "OK"))
		rc = vp_gdb_unexpected(what, payload, err);
	return rc;
}

/* --- running and stopped ----------------------------------------------------- */

/*
 * An owner who lets the VM go on just then has our packet lost, which is known: so once more. But
 * never a detach that was carried out: of a second one QEMU dies (seen on 7.2 and 11.1).
 */
#define TRIES 16

static bool is_lost(const struct vp_gdb *g, int rc)
{
	return rc == -EAGAIN && g->ran;
}

/* The mode is QEMU's, not the connection's: the next debugger would find it. */
static int leave_physical(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	int rc = -EAGAIN;

	if (!g->physical && !g->unsure)
		return 0;
	for (unsigned int i = 0; i < TRIES; i++) {
		rc = vp_gdb_physical(g, false, deadline, err);
		if (!is_lost(g, rc))
			break;
	}
	return rc;
}

int vp_gdb_restore(struct vp_gdb *g, struct vp_err *err)
{
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (!rc && (g->physical || g->unsure))
		rc = vp_gdb_finish(g, leave_physical(g, deadline, err), deadline, err);
	return rc;
}

/* vCont: `c` alone would hit a breakpoint that stands at the RIP again and again. */
static int go_on(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	int rc = vp_gdb_ask(g, deadline, err, "vCont;c"); /* answered when it stops again */

	if (rc)
		g->broken = true;
	return rc;
}

/* Whoever is killed while the VM runs leaves the mode as he found it. */
int vp_gdb_cont(struct vp_gdb *g, struct vp_err *err)
{
	int64_t deadline = vp_now_ms() + g->timeout_ms;
	int rc = vp_gdb_restore(g, err);

	return rc ? rc : go_on(g, deadline, err);
}

/*
 * The same in one exchange, for whoever waits for the stop that follows. That the mode is said at
 * all tells of an owner who was quicker: what he has lost of it is not answered, and it stands
 * again.
 */
static int go_on_at_once(struct vp_gdb *g, struct vp_err *err)
{
	int64_t deadline;
	char *payload;
	size_t len;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (rc)
		return rc;
	rc = vp_gdb_ask_physical(g, false, deadline, err);
	if (!rc)
		rc = go_on(g, deadline, err);
	if (!rc)
		rc = receive_held(g, &payload, &len, deadline, err);
	if (!rc && is_stop(payload))
		rc = vp_gdb_lost(g, deadline, err);
	else if (!rc && strcmp(payload, "OK"))
		rc = vp_gdb_unexpected("PhyMemMode", payload, err);
	if (rc)
		return vp_gdb_finish(g, rc, deadline, err);
	g->physical = g->unsure = false;
	return 0;
}

/* Stops that nobody asked for have come since the VM was let go: count and acknowledge them. */
static int drain(struct vp_gdb *g, unsigned int *stops, int64_t deadline, struct vp_err *err)
{
	char *payload;
	size_t len;
	ssize_t n;
	int rc;

	for (*stops = 0;;) {
		rc = vp_gdb_in_next(&g->in, &payload, &len, err);
		if (rc < 0)
			return rc;
		if (rc && is_probe_answer(payload)) /* left over from an earlier probe */
			continue;
		if (rc && !is_stop(payload))
			return vp_gdb_unexpected("nothing", payload, err);
		*stops += rc > 0;
		if (rc)
			continue;
		n = vp_gdb_in_recv(&g->in, g->sock);
		if (n == -EAGAIN)
			return *stops ? acknowledge(g, deadline, err) : 0;
		if (n <= 0)
			return vp_err_set(err, -ECONNRESET, "the gdbstub closed the connection");
		if (vp_now_ms() > deadline)
			return vp_err_set(err, -EPROTO, "gdbstub: stop replies without an end");
	}
}

static int want_stop(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	char *payload;
	size_t len;
	int rc;

	do
		rc = receive(g, &payload, &len, deadline, err);
	while (!rc && is_probe_answer(payload)); /* left over from an earlier probe */
	if (!rc && !is_stop(payload))
		rc = payload[0] == 'W' ? vp_err_set(err, -ECONNRESET, "the VM has ended")
				       : vp_gdb_unexpected("a stop", payload, err);
	return rc;
}

/*
 * Somebody has paused it, and our stop has no answer in good time. Whatever it did is done before
 * the next question is answered: behind that no stop can be late.
 */
static int see_who_stopped(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	unsigned int stops = 0;
	char *payload;
	size_t len;
	int rc = vp_gdb_ask(g, deadline, err, VP_GDB_PROBE);

	if (!rc)
		rc = vp_gdb_answer(g, &payload, &len, &stops, deadline, err);
	rc = vp_gdb_finish(g, rc, deadline, err);
	if (rc || stops)
		return rc;
	return vp_err_set(err, -EBUSY, "the VM was paused by somebody else: resume it first");
}

int vp_gdb_stop(struct vp_gdb *g, struct vp_err *err)
{
	unsigned int stops;
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (!rc)
		rc = drain(g, &stops, deadline, err);
	if (!rc)
		rc = send_bytes(g, "\003", 1, deadline, err);
	if (rc)
		return vp_gdb_finish(g, rc, deadline, err);
	/* A VM that stands still ignores the byte and answers nothing. */
	g->paused_elsewhere |= stops > 0;
	rc = want_stop(g, g->paused_elsewhere ? vp_now_ms() + GRACE_MS : deadline, err);
	deadline = vp_now_ms() + g->timeout_ms;
	if (rc == -ETIMEDOUT && g->paused_elsewhere)
		rc = see_who_stopped(g, deadline, err);
	else
		rc = vp_gdb_finish(g, rc, deadline, err);
	if (!rc)
		g->paused_elsewhere = false;
	return rc;
}

int vp_gdb_told(struct vp_gdb *g, unsigned int ms, struct vp_err *err)
{
	unsigned int stops = 0;
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (!rc)
		rc = drain(g, &stops, deadline, err);
	if (!rc && !stops) {
		rc = wait_for(g, POLLIN, vp_now_ms() + ms, err);
		if (rc == -ETIMEDOUT)
			return rc;
		if (!rc)
			rc = drain(g, &stops, deadline, err);
	}
	if (rc)
		g->broken = true;
	return rc || stops ? rc : vp_err_set(err, -ETIMEDOUT, "no stop was told of");
}

int vp_gdb_interrupt(struct vp_gdb *g, struct vp_err *err)
{
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (!rc)
		rc = send_bytes(g, "\003", 1, deadline, err);
	if (rc)
		g->broken = true;
	return rc;
}

int vp_gdb_run(struct vp_gdb *g, unsigned int ms, struct vp_err *err)
{
	int64_t deadline = vp_now_ms() + ms;
	int rc = go_on_at_once(g, err);
	bool late;

	if (rc)
		return rc;
	rc = want_stop(g, deadline, err);
	late = rc == -ETIMEDOUT;
	deadline = vp_now_ms() + g->timeout_ms;
	if (late) /* if it stops just now that is the one reply that comes */
		rc = send_bytes(g, "\003", 1, deadline, err);
	if (late && !rc)
		rc = want_stop(g, deadline, err);
	rc = vp_gdb_finish(g, rc, deadline, err);
	if (!rc && late)
		rc = vp_err_set(err, -ETIMEDOUT, "no breakpoint was reached within %u ms", ms);
	return rc;
}

/* Addresses of `m` and `M` are guest-physical (QEMU's docs/system/gdb.rst, "Examining physical
 * memory"). */
int vp_gdb_ask_physical(struct vp_gdb *g, bool on, int64_t deadline, struct vp_err *err)
{
	g->physical = false; /* until it is answered */
	g->unsure = true;
	return vp_gdb_ask(g, deadline, err, "Qqemu.PhyMemMode:%d", on);
}

int vp_gdb_physical(struct vp_gdb *g, bool on, int64_t deadline, struct vp_err *err)
{
	int rc = vp_gdb_ask_physical(g, on, deadline, err);

	if (!rc)
		rc = vp_gdb_want_ok(g, "PhyMemMode", deadline, err);
	if (!rc) {
		g->physical = on;
		g->unsure = false;
	}
	return rc;
}

static int detach(struct vp_gdb *g, int64_t deadline, struct vp_err *err)
{
	int rc = -EAGAIN;

	for (unsigned int i = 0; i < TRIES; i++) {
		rc = vp_gdb_ask(g, deadline, err, "D;1");
		if (!rc)
			rc = vp_gdb_want_ok(g, "the detach", deadline, err);
		if (!is_lost(g, rc))
			break;
	}
	/* Slow, not lost: what we asked behind it has stopped the VM again. */
	return !rc && g->probed ? vp_gdb_ask(g, deadline, err, "vCont;c") : rc;
}

int vp_gdb_detach(struct vp_gdb *g, bool go_on, struct vp_err *err)
{
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (!rc)
		rc = leave_physical(g, deadline, err);
	if (!rc && go_on)
		rc = detach(g, deadline, err);
	g->broken = true; /* not one byte more: it would stop the VM again */
	return rc;
}
