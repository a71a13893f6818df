/* SPDX-License-Identifier: Apache-2.0 */
/* What include/vmpoke/target.h and local.h promise, looked at in every state. */
#include "world.h"

static void check_vcpu(unsigned int id)
{
	const struct thread *t = &w.thread[VCPU_THREAD + id];
	bool inside = t->where == IN_GUEST && !t->called_out;

	if (inside && t->serialized < w.seen)
		violate("vCPU %u runs what it had fetched before a sync() that has returned", id);
	if (inside && t->entered < w.left)
		violate("KVM may still emulate what vCPU %u had fetched before a sync()", id);
	if (inside && w.armed && !t->debug)
		violate("vCPU %u runs, and its int3s leave no more, though arm() has returned", id);
	if ((inside || t->handling) && (w.stopped || w.paused))
		violate("vCPU %u %s while all are stopped", id, inside ? "runs" : "handles a trap");
	if (inside && w.holding && w.local->held->id == id)
		violate("vCPU %u runs while it is held", id);
	if (w.locked && !(w.topology & 1u << id) != !w.local->vcpus[id])
		violate("vCPU %u comes or goes while the lock is held", id);
}

void check_state(void)
{
	for (unsigned int i = 0; i < sc->vcpus; i++)
		check_vcpu(i);
}

void check_quiesced(void)
{
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.thread[VCPU_THREAD + i].must_leave)
			violate("quiesce() returns before vCPU %u has left its trap", i);
}

/* Nobody can go on. Whoever waits must have a reason. */
void world_stuck(void)
{
	for (unsigned int i = 0; i < ASKERS; i++)
		if (w.thread[i].where != AT_NOTHING)
			violate("stuck: %s waits for ever", i ? "the VMM" : "the patcher");
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		const struct thread *t = &w.thread[VCPU_THREAD + i];

		if (t->may_return && t->where != AT_NOTHING)
			violate("stuck: the interrupt of vCPU %u is lost", i);
		if (t->handling && !w.open) /* parked, and that is as it should be */
			continue;
		if (t->where != IN_GUEST && t->where != AT_NOTHING && !w.paused)
			violate("stuck: vCPU %u sleeps for ever", i);
	}
}
