/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be known of a VM as soon as it stands: by its gdbstub, which answers sooner than QMP,
 * and all in one round trip; with the first words, where it is connected to for this.
 */
#include <errno.h>
#include <stdlib.h>

#include "target/qemu_internal.h"
#include "target/wait.h"

/* The pieces that the engine reads first, if they are RAM as far as is known: else not so. */
static bool all_ram(const struct vp_qemu *q)
{
	for (size_t i = 0; i < q->nahead; i++)
		if (q->ahead[i].len > VP_QEMU_AHEAD_MAX ||
		    !vp_qemu_is_ram(q, q->ahead[i].gpa, q->ahead[i].len))
			return false;
	return true;
}

void vp_qemu_look_begin(struct vp_qemu *q, struct vp_qemu_look *l)
{
	*l = (struct vp_qemu_look){
		.questions = { { .command = "info status" }, { .command = "info migrate" } },
	};
	l->ask.questions = l->questions;
	l->ask.nquestions = 2;
	if (!q->nahead || !all_ram(q))
		return;
	l->ask.pieces = q->ahead;
	l->ask.n = q->nahead;
	q->rips.known = false;
	if (q->there && q->there <= VP_GDB_RIPS) {
		l->rips.n = q->there;
		l->ask.rips = &l->rips;
	} else if (!q->vcpus)
		l->questions[l->ask.nquestions++].command = "info registers -a";
}

void vp_qemu_look_end(struct vp_qemu_look *l)
{
	for (size_t i = 0; i < l->ask.nquestions; i++)
		free(l->questions[i].text);
}

/* A count that does not fit is asked for again, by who needs them. */
static void take_vcpus(struct vp_qemu *q, const char *text)
{
	if (q->vcpus || vp_hmp_registers(text, &q->vcpus, &q->nvcpus, NULL) ||
	    q->there != q->nvcpus)
		vp_qemu_forget(q);
}

/* Words that are not known are asked about in another way. */
bool vp_qemu_look_take(struct vp_qemu *q, struct vp_qemu_look *l, struct vp_runstate *state)
{
	struct vp_migration migration;

	if (!l->ask.done)
		return false;
	q->ahead_read = l->ask.n;
	q->rips = l->rips;
	if (l->ask.nquestions > 2)
		take_vcpus(q, l->questions[2].text);
	if (vp_runstate_of(l->questions[0].text, state, NULL) ||
	    vp_migration_of(l->questions[1].text, &migration, NULL))
		return false;
	q->looked_ms = state->paused && !migration.under_way ? vp_now_ms() : 0;
	return true;
}

int vp_qemu_look_now(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err)
{
	struct vp_qemu_look l;
	int rc;

	q->stands = false;
	vp_qemu_look_begin(q, &l);
	rc = vp_gdb_look(q->gdb, &l.ask, err);
	if (!rc && !vp_qemu_look_take(q, &l, state))
		rc = vp_err_set(err, -EPROTO, "QEMU's monitor says what is not known");
	vp_qemu_look_end(&l);
	vp_qemu_listen(q);
	return rc;
}

void vp_qemu_listen(struct vp_qemu *q)
{
	if (q->mon->ops->listen)
		q->mon->ops->listen(q->mon);
}
