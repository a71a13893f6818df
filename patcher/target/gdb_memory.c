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
 * What is under way, in bytes: the replies to small packets fit the socket's buffer; of large ones
 * there are two, so that QEMU works on one while we take the other. And in requests, so that what
 * is to be passed by if one of them is lost has an end. Each time half of it is asked at once.
 */
#define AHEAD	     32000u
#define REQUESTS_MAX 128u
#define HMP_MAX	     (16ul << 20) /* what a monitor command may print: 4096 vCPUs need 11 MB */

/* --- memory ------------------------------------------------------------------ */

/*
 * Addresses are to be guest-physical. Reads need not wait until that is so: they are not used if it
 * is not. Nothing is written before.
 */
static int begin_memory(struct vp_gdb_transfer *x, struct vp_err *err)
{
	int rc = vp_gdb_begin(x->g, &x->deadline, err);

	if (rc || x->g->physical || !x->what.n)
		return rc;
	x->mode = !x->write;
	if (x->mode)
		return 0;
	rc = vp_gdb_physical(x->g, true, x->deadline, err);
	return rc ? vp_gdb_finish(x->g, rc, x->deadline, err) : 0;
}

/* How much a packet at @c carries; 0: there is nothing more. */
static size_t packet_at(const struct vp_gdb_transfer *x, struct vp_gdb_cursor *c)
{
	size_t left;

	while (c->piece < x->what.n && c->at == x->what.pieces[c->piece].len)
		*c = (struct vp_gdb_cursor){ c->piece + 1, 0 };
	if (c->piece == x->what.n)
		return 0;
	left = x->what.pieces[c->piece].len - c->at;
	return left < x->g->chunk ? left : x->g->chunk;
}

static int send_write(struct vp_gdb_transfer *x, uint64_t gpa, const uint8_t *from, size_t n,
		      struct vp_err *err)
{
	static const char digits[] = "0123456789abcdef";
	struct vp_gdb *g = x->g;
	size_t at = (size_t)snprintf(g->payload, 64, "M%" PRIx64 ",%zx:", gpa, n);

	for (size_t i = 0; i < n; i++) {
		g->payload[at++] = digits[from[i] >> 4];
		g->payload[at++] = digits[from[i] & 15];
	}
	return vp_gdb_send(g, g->payload, at, x->deadline, err);
}

/* What is written is read back behind it: QEMU answers OK whatever became of the bytes. */
static int ask_next(struct vp_gdb_transfer *x, size_t n, struct vp_err *err)
{
	const struct vp_piece *p = &x->what.pieces[x->asked.piece];
	uint64_t gpa = p->gpa.v + x->asked.at;
	int rc = 0;

	if (x->write)
		rc = send_write(x, gpa, (const uint8_t *)p->from + x->asked.at, n, err);
	if (!rc)
		rc = vp_gdb_ask(x->g, x->deadline, err, "m%" PRIx64 ",%zx", gpa, n);
	x->asked.at += n;
	x->requests++;
	x->bytes += n;
	return rc;
}

/* An answer that is that of another request: one was lost, as the VM was let go on. */
static int out_of_step(struct vp_gdb_transfer *x, const char *what, const char *payload,
		       struct vp_err *err)
{
	if (!payload[0] || payload[0] == 'E')
		return vp_gdb_unexpected(what, payload, err);
	return vp_gdb_lost(x->g, x->deadline, err);
}

static int take_ok(struct vp_gdb_transfer *x, const char *what, struct vp_err *err)
{
	char *payload;
	size_t len;
	int rc = vp_gdb_answer(x->g, &payload, &len, NULL, x->deadline, err);

	if (!rc && strcmp(payload, "OK"))
		rc = out_of_step(x, what, payload, err);
	return rc;
}

static int take_mode(struct vp_gdb_transfer *x, struct vp_err *err)
{
	int rc = take_ok(x, "PhyMemMode", err);

	x->mode = false;
	if (rc)
		return rc;
	x->g->physical = true;
	x->g->unsure = false;
	return 0;
}

/* The bytes as they were written? */
static bool same(const char *hex, const uint8_t *from, size_t n)
{
	uint8_t byte;

	for (size_t i = 0; i < n; i++)
		if (!vp_gdb_unhex(hex + 2 * i, 2, &byte, 1) || byte != from[i])
			return false;
	return true;
}

static int take_next(struct vp_gdb_transfer *x, size_t n, struct vp_err *err)
{
	const struct vp_piece *p = &x->what.pieces[x->got.piece];
	size_t len, at = x->got.at;
	char *payload;
	int rc = x->write ? take_ok(x, "a write of memory", err) : x->mode ? take_mode(x, err) : 0;

	if (!rc)
		rc = vp_gdb_answer(x->g, &payload, &len, NULL, x->deadline, err);
	if (rc)
		return rc;
	if (len != 2 * n || (!x->write && !vp_gdb_unhex(payload, len, (uint8_t *)p->into + at, n)))
		return out_of_step(x, "a read of memory", payload, err);
	if (x->write && !x->differs && !same(payload, (const uint8_t *)p->from + at, n)) {
		x->differs = true;
		x->where = p->gpa.v + at;
	}
	x->got.at += n;
	x->requests--;
	x->bytes -= n;
	x->deadline = vp_now_ms() + x->g->timeout_ms; /* it makes progress */
	return 0;
}

/* --- questions behind it ------------------------------------------------------ */

static int ask_hmp(struct vp_gdb *g, const char *command, int64_t deadline, struct vp_err *err)
{
	char hex[512] = "qRcmd,";

	if (strlen(command) > 200)
		return vp_err_set(err, -EINVAL, "gdbstub: the monitor command is too long");
	for (size_t i = 0; command[i]; i++)
		snprintf(hex + 6 + 2 * i, 3, "%02x", (unsigned int)(unsigned char)command[i]);
	return vp_gdb_ask(g, deadline, err, "%s", hex);
}

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

/*
 * Output packets ('O' and hex, but "OK" is the end) until the end. If @others were asked with it,
 * the answer to one of them means that this question was lost, as the VM was let go on.
 */
static int collect(struct vp_gdb *g, const char *command, char **text, bool others,
		   int64_t deadline, struct vp_err *err)
{
	size_t len, used = 0;
	char *payload;
	int rc;

	*text = calloc(1, 1);
	if (!*text)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (;;) {
		rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);
		if (rc || !strcmp(payload, "OK"))
			return rc;
		if (payload[0] != 'O')
			return others && payload[0] && payload[0] != 'E'
				       ? vp_gdb_lost(g, deadline, err)
				       : vp_gdb_unexpected(command, payload, err);
		rc = append_output(text, &used, payload + 1, len - 1, err);
		if (rc)
			return rc;
	}
}

static void drop_texts(struct vp_gdb_look *what)
{
	for (size_t i = 0; i < what->nquestions; i++) {
		free(what->questions[i].text);
		what->questions[i].text = NULL;
	}
}

static int ask_behind(struct vp_gdb_transfer *x, struct vp_err *err)
{
	int rc = 0;

	x->behind = true;
	for (size_t i = 0; i < x->what.nquestions && !rc; i++)
		rc = ask_hmp(x->g, x->what.questions[i].command, x->deadline, err);
	if (!rc && x->what.rips)
		rc = vp_gdb_rips_ask(x->g, x->what.rips, x->deadline, err);
	return !rc && x->virtual ? vp_gdb_ask_physical(x->g, false, x->deadline, err) : rc;
}

static int take_behind(struct vp_gdb_transfer *x, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < x->what.nquestions && !rc; i++)
		rc = collect(x->g, x->what.questions[i].command, &x->what.questions[i].text, true,
			     x->deadline, err);
	if (!rc && x->what.rips)
		rc = vp_gdb_rips_take(x->g, x->what.rips, x->deadline, err);
	if (rc || !x->virtual)
		return rc;
	rc = take_ok(x, "PhyMemMode", err);
	if (!rc)
		x->g->physical = x->g->unsure = false;
	return rc;
}

/* --- all of it ------------------------------------------------------------------ */

int vp_gdb_transfer_ask(struct vp_gdb_transfer *x, struct vp_err *err)
{
	size_t ahead = 2 * x->g->chunk < AHEAD ? AHEAD : 2 * x->g->chunk, n = 1;
	int rc = 0, sent;

	if (x->behind)
		return 0;
	vp_gdb_hold(x->g);
	if (x->mode && !x->asked.piece && !x->asked.at)
		rc = vp_gdb_ask_physical(x->g, true, x->deadline, err);
	while (!rc && x->requests < REQUESTS_MAX && x->bytes < ahead) {
		n = packet_at(x, &x->asked);
		if (!n)
			break;
		rc = ask_next(x, n, err);
	}
	if (!rc && !packet_at(x, &x->asked))
		rc = ask_behind(x, err);
	sent = vp_gdb_flush(x->g, x->deadline, err);
	return rc ? rc : sent;
}

/* So many answers that it is worth asking again; or all there are. */
static int take_some(struct vp_gdb_transfer *x, struct vp_err *err)
{
	size_t requests = x->requests / 2, bytes = x->bytes / 2, n;
	int rc = x->mode ? take_mode(x, err) : 0;

	while (!rc && (x->behind || x->requests > requests || x->bytes > bytes)) {
		n = packet_at(x, &x->got);
		if (!n)
			break;
		rc = take_next(x, n, err);
	}
	return rc;
}

int vp_gdb_transfer_rest(struct vp_gdb_transfer *x, struct vp_err *err)
{
	int rc;

	do {
		rc = vp_gdb_transfer_ask(x, err);
		if (!rc)
			rc = take_some(x, err);
	} while (!rc && !x->behind);
	if (!rc) /* what was under way when the last was asked */
		rc = take_some(x, err);
	if (!rc)
		rc = take_behind(x, err);
	rc = vp_gdb_finish(x->g, rc, x->deadline, err);
	if (!rc && x->differs)
		rc = vp_err_set(err, -EIO,
				"guest-physical 0x%" PRIx64 " did not take the bytes: "
				"is it RAM?",
				x->where);
	if (rc)
		drop_texts(&x->what);
	return rc;
}

static int transfer(struct vp_gdb_transfer *x, struct vp_err *err)
{
	int rc = begin_memory(x, err);

	return rc ? rc : vp_gdb_transfer_rest(x, err);
}

int vp_gdb_look(struct vp_gdb *g, struct vp_gdb_look *look, struct vp_err *err)
{
	struct vp_gdb_transfer x = { .g = g, .what = *look };
	int rc = transfer(&x, err);

	look->done = !rc;
	return rc;
}

int vp_gdb_read_pieces(struct vp_gdb *g, const struct vp_piece *pieces, size_t n,
		       struct vp_err *err)
{
	struct vp_gdb_transfer x = { .g = g, .what = { .pieces = pieces, .n = n } };

	return transfer(&x, err);
}

int vp_gdb_write_pieces(struct vp_gdb *g, const struct vp_piece *pieces, size_t n,
			struct vp_err *err)
{
	struct vp_gdb_transfer x = { .g = g, .what = { .pieces = pieces, .n = n }, .write = true };

	return transfer(&x, err);
}

int vp_gdb_write_and_ask(struct vp_gdb *g, const struct vp_piece *pieces, size_t n,
			 const char *command, char **text, struct vp_err *err)
{
	struct vp_gdb_question question = { .command = command };
	struct vp_gdb_transfer x = {
		.g = g,
		.what = { .pieces = pieces, .n = n, .questions = &question, .nquestions = 1 },
		.write = true,
		.virtual = true,
	};
	int rc = transfer(&x, err);

	*text = question.text;
	return rc;
}

int vp_gdb_read(struct vp_gdb *g, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const struct vp_piece piece = { .gpa = gpa, .into = buf, .len = len };

	return vp_gdb_read_pieces(g, &piece, 1, err);
}

int vp_gdb_write(struct vp_gdb *g, vp_gpa gpa, const void *buf, size_t len, struct vp_err *err)
{
	const struct vp_piece piece = { .gpa = gpa, .from = buf, .len = len };

	return vp_gdb_write_pieces(g, &piece, 1, err);
}

/* --- the human monitor, and what machine it is ------------------------------- */

int vp_gdb_hmp(struct vp_gdb *g, const char *command, char **text, struct vp_err *err)
{
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	*text = NULL;
	if (rc)
		return rc;
	rc = ask_hmp(g, command, deadline, err);
	if (rc == -EINVAL)
		return rc;
	if (!rc)
		rc = collect(g, command, text, false, deadline, err);
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
