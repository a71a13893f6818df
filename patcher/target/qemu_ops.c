/* SPDX-License-Identifier: Apache-2.0 */
/* The target's operations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/qemu_internal.h"
#include "target/wait.h"
#include "x86/walk.h"

static int op_lock(struct vp_target *t, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc;

	pthread_mutex_lock(&q->mutex);
	if (q->locked) {
		pthread_mutex_unlock(&q->mutex);
		return vp_err_set(err, -EDEADLK, "%s", VP_IN_CALLBACK);
	}
	q->there = 0;
	rc = vp_qemu_take(q, err);
	/* What can be read in windows only is read in one. Where that may not be, reading says so.
	 */
	if (!rc && !q->peeks && !q->nblocks && !vp_qemu_check_marks(q, NULL)) {
		rc = vp_qemu_window_enter(q, err);
		if (rc)
			vp_qemu_drop(q);
		else
			q->of_lock = true;
	}
	if (rc) {
		pthread_mutex_unlock(&q->mutex);
		return rc;
	}
	if (!q->windows)
		vp_qemu_forget(q);
	q->locked = true;
	return 0;
}

static void op_unlock(struct vp_target *t)
{
	struct vp_qemu *q = vp_qemu_of(t);

	vp_qemu_forget(q);
	if (q->of_lock)
		vp_qemu_window_leave(q);
	q->of_lock = q->resumed = q->locked = false;
	vp_qemu_drop(q);
	pthread_mutex_unlock(&q->mutex);
}

/* --- memory -------------------------------------------------------------------- */

/* Nobody runs: to compare and then to write is as good as to swap. */
static int swap(struct vp_target *t, vp_gpa gpa, const void *expect, const void *value, size_t len,
		struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	uint8_t now[4];
	/* By whom it is written, too: what decides about a write is QEMU's own view. */
	int rc = q->windows && vp_qemu_is_ram(q, gpa, len) ? vp_gdb_read(q->gdb, gpa, now, len, err)
							   : vp_qemu_read(t, gpa, now, len, err);

	if (!rc && memcmp(now, expect, len))
		rc = vp_err_set(err, -EAGAIN, "guest-physical 0x%llx holds 0x%02x now",
				(unsigned long long)gpa.v, now[0]);
	return rc ? rc : vp_qemu_write(t, gpa, value, len, err);
}

static int op_swap_head(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			struct vp_err *err)
{
	return swap(t, gpa, &expect, &value, 1, err);
}

static int op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			struct vp_err *err)
{
	return swap(t, gpa, &expect, &value, 4, err);
}

static int op_ram(struct vp_target *t, int (*fn)(void *arg, vp_gpa start, uint64_t len), void *arg,
		  struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc;

	pthread_mutex_lock(&q->mutex);
	rc = vp_qemu_check_confidential(q, err);
	if (!rc && (q->windows || !q->gdb_only))
		rc = vp_qemu_map_ram(q, err);
	for (size_t i = 0; i < q->nram && !rc; i++)
		rc = fn(arg, VP_GPA(q->ram[i].start), q->ram[i].len);
	pthread_mutex_unlock(&q->mutex);
	return rc;
}

/* QEMU itself marks what the gdbstub writes as dirty; but the record of the patch stays here. */
static int op_writable(struct vp_target *t, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	struct vp_runstate state = { .running = true };
	int rc = vp_qemu_check_confidential(q, err);

	if (!rc && !q->windows)
		rc = vp_qemu_check_marks(q, err);
	/* Else it is us who stopped it; or, with a stub alone, will see when we do. */
	if (!rc && !q->windows && !q->gdb_only)
		rc = vp_qemu_runstate(q, &state, err);
	if (!rc && !q->mon->peer.pid)
		return vp_err_set(err, -EOPNOTSUPP,
				  "which process %.60s is cannot be told (a proxy stands between, "
				  "or it is in another pid namespace): patch it from where its "
				  "QEMU is seen",
				  q->name);
	if (!rc && !state.running)
		rc = vp_err_set(err, -EBUSY, "%.80s is %s: let its owner resume it first", q->name,
				state.text);
	return rc || (!q->windows && q->gdb_only) ? rc : vp_qemu_check_migration(q, err);
}

/* --- vCPUs --------------------------------------------------------------------- */

static const struct vp_hmp_vcpu *find_vcpu(const struct vp_hmp_vcpu *vcpus, size_t n, int vcpu)
{
	for (size_t i = 0; i < n; i++) {
		const struct vp_hmp_vcpu *v = &vcpus[i];

		if (vcpu < 0 ? vp_paging_is_long(&v->state.paging)
			     : v->number == (unsigned int)vcpu)
			return v;
	}
	return NULL;
}

static int find_state(const struct vp_hmp_vcpu *vcpus, size_t n, int vcpu,
		      struct vp_vcpu_state *state, struct vp_err *err)
{
	const struct vp_hmp_vcpu *v = find_vcpu(vcpus, n, vcpu);

	if (v) {
		*state = v->state;
		return 0;
	}
	if (vcpu < 0)
		return vp_err_set(err, -EOPNOTSUPP,
				  "no vCPU is in 64-bit mode: has the guest booted?");
	return vp_err_set(err, (unsigned int)vcpu > vcpus[n - 1].number ? -ERANGE : -ENOENT,
			  "there is no vCPU %d", vcpu);
}

static int op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	bool own = q->gdb_only && !q->windows; /* the VM was let go on since lock() */
	int rc = vp_qemu_check_confidential(q, err);

	if (rc)
		return rc;
	if (own && q->seen_vcpus && vp_qemu_just_saw(q))
		return find_state(q->seen_vcpus, q->nseen_vcpus, vcpu, state, err);
	if (own)
		rc = vp_qemu_window_enter(q, err);
	if (rc)
		return rc;
	q->stands = false;
	rc = vp_qemu_look_at_vcpus(q, err);
	if (!rc)
		rc = find_state(q->vcpus, q->nvcpus, vcpu, state, err);
	if (own)
		vp_qemu_window_leave(q);
	return rc;
}

static int op_rips(struct vp_target *t, uint64_t *rips, size_t *n)
{
	const struct vp_qemu *q = vp_qemu_of(t);

	if (!q->windows || !q->rips.known || q->rips.n > *n)
		return -EOPNOTSUPP;
	memcpy(rips, q->rips.at, q->rips.n * sizeof(*rips));
	*n = q->rips.n;
	return 0;
}

static void op_release(struct vp_target *t)
{
	(void)t;
}

/* --- the protocol: stop only ---------------------------------------------------- */

static int op_arm(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	(void)timeout_ms;
	return vp_err_set(err, -EOPNOTSUPP, "%s: use --strategy stop", t->no_int3);
}

static int op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		   struct vp_err *err)
{
	(void)what;
	return op_arm(t, timeout_ms, err);
}

static int op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	(void)t, (void)timeout_ms, (void)err;
	return 0; /* there are no traps to be handled */
}

static void op_nothing(struct vp_target *t)
{
	(void)t;
}

static int op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	int rc = vp_qemu_check_confidential(vp_qemu_of(t), err);

	(void)timeout_ms; /* each answer of QEMU has its own limit */
	return rc ? rc : vp_qemu_window_enter(vp_qemu_of(t), err);
}

static int op_stop_reading(struct vp_target *t, unsigned int timeout_ms,
			   const struct vp_piece *pieces, size_t n, bool *read, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	struct vp_runstate state;
	int rc;

	q->ahead = pieces;
	q->nahead = n;
	q->ahead_read = false;
	rc = op_stop(t, timeout_ms, err);
	if (!rc && q->nahead && !q->ahead_read) { /* it was connected to before */
		rc = vp_qemu_look_now(q, &state, err);
		if (rc == -EPROTO && q->ahead_read)
			rc = 0;
		if (rc)
			vp_qemu_window_leave(q);
	}
	*read = q->ahead_read;
	q->ahead = NULL;
	q->nahead = 0;
	return rc;
}

static void op_resume(struct vp_target *t)
{
	struct vp_qemu *q = vp_qemu_of(t);

	vp_qemu_window_leave(q);
	if (q->of_lock) /* lock()'s own window: the VM is to run now; what is read has one of its
			   own */
		vp_qemu_window_leave(q);
	q->of_lock = false;
	q->resumed = true;
}

static int op_held(struct vp_target *t, struct vp_err *err)
{
	return vp_qemu_held(vp_qemu_of(t), err);
}

/* The VM stays stopped, and marked; the connection that knows no more is not used again. */
static void op_abandon(struct vp_target *t)
{
	struct vp_qemu *q = vp_qemu_of(t);

	vp_err_set(
		&q->stuck, -EIO,
		"half a batch may stand in %.60s, which was left stopped: `vmpoke recover %.60s`",
		q->name, q->name);
	vp_qemu_window_end(q, false);
}

/* QEMU's own word, where it has one: the question brings what it told last. */
static void op_pauses(struct vp_target *t, struct vp_pauses *out)
{
	struct vp_qemu *q = vp_qemu_of(t);
	struct vp_runstate state;

	pthread_mutex_lock(&q->mutex);
	if (!q->gdb_only && !q->windows)
		vp_qemu_runstate(q, &state, NULL);
	*out = q->mon->pauses.n ? q->mon->pauses : q->pauses;
	pthread_mutex_unlock(&q->mutex);
}

const struct vp_target_ops vp_qemu_ops = {
	.name = "qemu",
	.lock = op_lock,
	.unlock = op_unlock,
	.read = vp_qemu_read,
	.write = vp_qemu_write,
	.read_pieces = vp_qemu_read_pieces,
	.write_pieces = vp_qemu_write_pieces,
	.swap_head = op_swap_head,
	.swap_word = op_swap_word,
	.ram = op_ram,
	.writable = op_writable,
	.hold = op_hold,
	.release = op_release,
	.arm = op_arm,
	.disarm = op_nothing,
	.sync = op_sync,
	.quiesce = op_quiesce,
	.unpark = op_nothing,
	.stop = op_stop,
	.stop_reading = op_stop_reading,
	.rips = op_rips,
	.resume = op_resume,
	.held = op_held,
	.abandon = op_abandon,
	.breaks = &vp_qemu_break_ops,
	.pauses = op_pauses,
};
