/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory, a piece or many at once. A round trip to QEMU costs a millisecond, or several where
 * its host is busy, whatever it brings: of many pieces the monitor reads what lies near each other
 * in one, and the gdbstub takes requests ahead.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tell.h"
#include "target/qemu_internal.h"

#define PEEK_MIN     (256u << 10) /* in a window: from here on the monitor beats the gdbstub */
#define WINDOW_BYTES (128u << 10) /* what one window reads over the gdbstub: some 3 ms */

/*
 * By the monitor: what lies between two pieces is read with them, up to so many bytes at once.
 * While the VM stands a round trip is dearer than bytes.
 */
#define GAP_MAX		0x10000u
#define RUN_MAX		0x100000u
#define GAP_MAX_STOPPED 0x40000u
#define RUN_MAX_STOPPED 0x1000000u

/*
 * QEMU reads zeros and swallows writes where there is nothing, so this is the only check. RAM may
 * have been plugged in since the map was read. But to look is dear, and page tables that are none
 * lead nowhere a thousand times: so once only.
 */
static int check_ram(struct vp_qemu *q, vp_gpa gpa, size_t len, struct vp_err *err)
{
	int rc = 0;

	if (!vp_qemu_is_ram(q, gpa, len) && !q->ram_is_new && (q->windows || !q->gdb_only)) {
		q->stands = false;
		rc = vp_qemu_map_ram(q, err);
		q->ram_is_new = !rc;
	}
	if (!rc && !vp_qemu_is_ram(q, gpa, len))
		rc = vp_err_set(err, -EFAULT, "guest-physical 0x%llx (%zu bytes) is not RAM",
				(unsigned long long)gpa.v, len);
	return rc;
}

/* Not asked for where all else is read in its own memory. */
static bool peeks(struct vp_qemu *q)
{
	if (!q->asked_peeks)
		vp_qemu_ask_peeks(q, NULL);
	return q->peeks;
}

static int read_stopped(struct vp_qemu *q, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	if (peeks(q) && len >= PEEK_MIN)
		return q->mon->ops->save(q->mon, gpa, buf, len, err);
	return vp_gdb_read(q->gdb, gpa, buf, len, err);
}

static int read_in_window(struct vp_qemu *q, const struct vp_piece *pieces, size_t n,
			  struct vp_err *err)
{
	int rc = vp_qemu_take(q, err);

	if (rc)
		return rc;
	rc = vp_qemu_window_enter(q, err);
	if (!rc) {
		rc = vp_gdb_read_pieces(q->gdb, pieces, n, err);
		vp_qemu_window_leave(q);
	}
	vp_qemu_drop(q);
	return rc;
}

/* Stop the VM for a read; for a long one again and again, so that the guest runs in between. */
static int read_in_windows(struct vp_qemu *q, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	int rc = 0;

	for (size_t at = 0; at < len && !rc; at += WINDOW_BYTES) {
		const struct vp_piece piece = {
			.gpa = VP_GPA(gpa.v + at),
			.into = (uint8_t *)buf + at,
			.len = len - at < WINDOW_BYTES ? len - at : WINDOW_BYTES,
		};

		vp_tell_progress("reading the guest's memory", at, len);
		rc = read_in_window(q, &piece, 1, err);
	}
	vp_tell_progress("reading the guest's memory", len, len);
	return rc;
}

static int read_by_qemu(struct vp_qemu *q, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	q->stands = false;
	if (q->windows)
		return read_stopped(q, gpa, buf, len, err);
	if (peeks(q))
		return q->mon->ops->save(q->mon, gpa, buf, len, err);
	return read_in_windows(q, gpa, buf, len, err);
}

int vp_qemu_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc;

	pthread_mutex_lock(&q->mutex);
	rc = vp_qemu_check_confidential(q, err);
	if (!rc)
		rc = check_ram(q, gpa, len, err);
	if (!rc && !vp_qemu_direct_read(q, gpa, buf, len))
		rc = read_by_qemu(q, gpa, buf, len, err);
	pthread_mutex_unlock(&q->mutex);
	return rc;
}

/* --- many pieces ---------------------------------------------------------------- */

static int check_pieces(struct vp_qemu *q, const struct vp_piece *pieces, size_t n,
			struct vp_err *err)
{
	int rc = vp_qemu_check_confidential(q, err);

	for (size_t i = 0; i < n && !rc; i++)
		rc = check_ram(q, pieces[i].gpa, pieces[i].len, err);
	return rc;
}

static bool read_pieces_direct(const struct vp_qemu *q, const struct vp_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!vp_qemu_direct_read(q, pieces[i].gpa, pieces[i].into, pieces[i].len))
			return false;
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct vp_piece *x = a, *y = b;

	return (x->gpa.v > y->gpa.v) - (x->gpa.v < y->gpa.v);
}

static uint64_t end_of(const struct vp_piece *p)
{
	return p->gpa.v + p->len;
}

/* How many of the @n sorted @pieces one read brings, and how much it reads; the first always. */
static size_t find_run(const struct vp_qemu *q, const struct vp_piece *pieces, size_t n,
		       size_t *len)
{
	uint64_t start = pieces[0].gpa.v, end = end_of(&pieces[0]), next;
	uint64_t gap = q->windows ? GAP_MAX_STOPPED : GAP_MAX;
	uint64_t max = q->windows ? RUN_MAX_STOPPED : RUN_MAX;
	size_t i;

	for (i = 1; i < n; i++) {
		next = end_of(&pieces[i]) > end ? end_of(&pieces[i]) : end;
		if (pieces[i].gpa.v > end + gap || next - start > max ||
		    !vp_qemu_is_ram(q, VP_GPA(start), (size_t)(next - start)))
			break;
		end = next;
	}
	*len = (size_t)(end - start);
	return i;
}

static int save_run(struct vp_qemu *q, const struct vp_piece *pieces, size_t n, size_t len,
		    struct vp_err *err)
{
	uint64_t start = pieces[0].gpa.v;
	uint8_t *bytes = malloc(len + 1);
	int rc = bytes ? q->mon->ops->save(q->mon, pieces[0].gpa, bytes, len, err)
		       : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < n && !rc; i++)
		memcpy(pieces[i].into, bytes + (pieces[i].gpa.v - start), pieces[i].len);
	free(bytes);
	return rc;
}

static int save_pieces(struct vp_qemu *q, const struct vp_piece *pieces, size_t n,
		       struct vp_err *err)
{
	struct vp_piece *sorted = calloc(n + 1, sizeof(*sorted));
	size_t at = 0, run, len;
	int rc = 0;

	if (!sorted)
		return vp_err_set(err, -ENOMEM, "out of memory");
	memcpy(sorted, pieces, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_place);
	for (; at < n && !rc; at += run) {
		run = find_run(q, sorted + at, n - at, &len);
		rc = save_run(q, sorted + at, run, len, err);
	}
	free(sorted);
	return rc;
}

static int read_pieces_by_qemu(struct vp_qemu *q, const struct vp_piece *pieces, size_t n,
			       struct vp_err *err)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pieces[i].len;
	q->stands = false;
	if (q->windows && (!peeks(q) || sum < PEEK_MIN))
		return vp_gdb_read_pieces(q->gdb, pieces, n, err);
	if (peeks(q))
		return save_pieces(q, pieces, n, err);
	return read_in_window(q, pieces, n, err);
}

int vp_qemu_read_pieces(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc;

	if (!n)
		return 0;
	pthread_mutex_lock(&q->mutex);
	rc = check_pieces(q, pieces, n, err);
	if (!rc && !read_pieces_direct(q, pieces, n))
		rc = read_pieces_by_qemu(q, pieces, n, err);
	pthread_mutex_unlock(&q->mutex);
	return rc;
}

/* Nothing was sent since but the write itself and the question how the VM is. */
static int write_and_ask(struct vp_qemu *q, const struct vp_piece *pieces, size_t n,
			 struct vp_err *err)
{
	struct vp_runstate state;
	char *text = NULL;
	int rc = vp_gdb_write_and_ask(q->gdb, pieces, n, "info status", &text, err);

	q->stands = !rc && !vp_runstate_of(text, &state, NULL) && state.paused;
	free(text);
	return rc;
}

static int check_window(struct vp_qemu *q, const struct vp_piece *pieces, size_t n, bool batch,
			struct vp_err *err)
{
	int rc;

	if (!q->windows)
		return vp_err_set(err, -EPERM,
				  "a QEMU guest is written to while it is stopped only");
	rc = check_pieces(q, pieces, n, err);
	q->stands = false;
	if (rc)
		return rc;
	return batch ? vp_qemu_check_batch(q, err) : vp_qemu_check_write(q, err);
}

int vp_qemu_write_pieces(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			 struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc = check_window(q, pieces, n, true, err);

	return rc ? rc : write_and_ask(q, pieces, n, err);
}

int vp_qemu_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len, struct vp_err *err)
{
	const struct vp_piece piece = { .gpa = gpa, .from = buf, .len = len };
	struct vp_qemu *q = vp_qemu_of(t);
	int rc = check_window(q, &piece, 1, false, err);

	return rc ? rc : vp_gdb_write_pieces(q->gdb, &piece, 1, err);
}
