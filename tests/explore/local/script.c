/* SPDX-License-Identifier: Apache-2.0 */
/* What the threads do: calls as the engine and a VMM make them, and vCPUs that run. */
#include "world.h"

#include <stdio.h>
#include <string.h>

/* --- who patches ---------------------------------------------------------------- */

static struct vp_target *target(void)
{
	return &w.local->target;
}

static uint8_t present(void)
{
	uint8_t bits = 0;

	for (unsigned int i = 0; i < MAX_VCPUS; i++)
		bits |= (uint8_t)(w.local->vcpus[i] ? 1u << i : 0);
	return bits;
}

static void lock(void)
{
	target()->ops->lock(target(), NULL);
	w.topology = present();
	w.locked = true;
}

static void unlock(void)
{
	w.locked = false;
	target()->ops->unlock(target());
}

/* Memory is written, and nobody may run what stood there before once sync() has returned. */
static int sync_all(enum vp_sync what)
{
	uint8_t now = ++w.written;
	int rc;

	note("sync");
	rc = target()->ops->sync(target(), what, 1, NULL);
	note("sync returns %d", rc);
	if (!rc && w.seen < now)
		w.seen = now;
	if (!rc && what == VP_SYNC_EXIT)
		w.left = now;
	return rc;
}

static void quiesce(void)
{
	int rc;

	note("quiesce");
	for (unsigned int i = VCPU_THREAD; i < THREADS; i++)
		w.thread[i].must_leave = w.thread[i].handling;
	rc = target()->ops->quiesce(target(), 1, NULL);
	note("quiesce returns %d", rc);
	if (!rc)
		check_quiesced();
}

static int arm_all(void)
{
	int rc;

	w.open = false;
	w.refused = (uint8_t)(w.refused << 1 & 3);
	note("arm");
	rc = target()->ops->arm(target(), 1, NULL);
	note("arm returns %d", rc);
	if (rc && rc != -ETIMEDOUT && !w.refused)
		violate("arm() fails, and KVM has not been asked for long");
	w.armed = !rc;
	return rc;
}

/* A batch as the engine makes it; one that must give up wakes all the same. */
static void batch(void)
{
	int rc;

	lock();
	rc = arm_all();
	if (!rc)
		rc = sync_all(VP_SYNC_CORE);
	w.open = true;
	note("unpark");
	target()->ops->unpark(target());
	if (!rc)
		sync_all(VP_SYNC_CORE);
	quiesce();
	w.armed = false;
	note("disarm");
	target()->ops->disarm(target());
	unlock();
}

/* What was written while all were held is seen by whoever runs from now on. */
static void let_go(void)
{
	w.seen = ++w.written;
}

static void stop(void)
{
	int rc;

	lock();
	note("stop");
	rc = target()->ops->stop(target(), 1, NULL);
	note("stop returns %d", rc);
	w.stopped = !rc;
	if (!rc) {
		host_wait_at(AT_STEP);
		w.stopped = false;
		let_go();
		note("resume");
		target()->ops->resume(target());
	}
	unlock();
}

static void hold(void)
{
	struct vp_vcpu_state state;
	int rc;

	lock();
	note("hold");
	rc = target()->ops->hold(target(), -1, &state, NULL);
	note("hold returns %d", rc);
	w.holding = !rc;
	if (!rc) {
		host_wait_at(AT_STEP);
		w.holding = false;
		note("release");
		target()->ops->release(target());
	}
	unlock();
}

static void pause_all(void)
{
	int rc;

	note("pause");
	rc = vp_local_pause(w.local, 1, NULL);
	note("pause returns %d", rc);
	w.paused = w.paused || !rc;
}

static void cont(void)
{
	if (w.paused)
		let_go();
	w.paused = false;
	note("cont");
	vp_local_cont(w.local);
}

static void interrupt(void)
{
	note("interrupt");
	/* From the call on; it must be in place when that returns. */
	w.thread[VCPU_THREAD].may_return = true;
	vp_local_vcpu_interrupt(w.local, 0);
	note("interrupt returns");
}

static void perform(enum action_kind kind)
{
	switch (kind) {
	case ACT_BATCH:
		batch();
		break;
	case ACT_SYNC:
	case ACT_SYNC_EXIT:
		lock();
		sync_all(kind == ACT_SYNC ? VP_SYNC_CORE : VP_SYNC_EXIT);
		unlock();
		break;
	case ACT_GUARD:
		lock();
		arm_all();
		unlock();
		break;
	case ACT_STOP:
		stop();
		break;
	case ACT_HOLD:
		hold();
		break;
	case ACT_PAUSE:
		pause_all();
		break;
	case ACT_CONT:
		cont();
		break;
	case ACT_INTERRUPT:
		interrupt();
		break;
	case ACT_END:
		break;
	}
}

static void ended(void)
{
	host_self()->where = AT_NOTHING;
	for (;;)
		coro_yield();
}

static void asker_main(void)
{
	unsigned int who = coro_running();

	if (sc->script[who][0]) /* to its first call */
		coro_yield();
	for (; sc->script[who][w.action[who]]; w.action[who]++)
		perform((enum action_kind)sc->script[who][w.action[who]]);
	ended();
}

/* --- vCPUs ------------------------------------------------------------------------ */

/* What the engine's sink does, as far as the target can tell: look, and decide. */
static enum vp_verdict handle(void *arg, struct vp_trap *trap)
{
	struct thread *t = host_self();
	bool open;

	(void)arg;
	(void)trap;
	t->handling = true;
	coro_yield();
	open = w.open;
	note(open ? "sees that it may go on" : "sees that it is to park");
	coro_yield();
	return open ? VP_VERDICT_RESUME : VP_VERDICT_PARK;
}

static void vcpu_main(void)
{
	unsigned int id = coro_running() - VCPU_THREAD;
	struct thread *t = host_self();
	bool last = id == sc->vcpus - 1u;
	struct vp_local_vcpu *v;
	int rc;

	if (last && sc->joins) /* it comes later */
		coro_yield();
	if (vp_local_vcpu_attach(w.local, id, (int)id, &w.run[id], &v, NULL))
		violate("vCPU %u cannot be attached", id);
	if (w.before)
		coro_yield();
	for (;;) {
		rc = vp_local_run(v, NULL);
		t->handling = t->must_leave = false;
		note("vp_local_run returns %d", rc);
		if (rc == -EINTR && !t->may_return)
			violate("vCPU %u is interrupted by nobody", id);
		else if (rc && rc != -EINTR)
			violate("vp_local_run returns %d", rc);
		t->may_return = t->may_return && rc != -EINTR;
		if (!rc && last && sc->leaves)
			break;
		host_wait_at(AT_VMM);
		if (t->ending == BY_STAYING)
			ended();
	}
	note("detaches");
	vp_local_vcpu_detach(v);
	ended();
}

/* --- what the search asks ------------------------------------------------------------ */

void world_begin(size_t scenario)
{
	const struct vp_local_config config = { .route = VP_ROUTE_DEBUG };

	sc = &scenarios[scenario];
	memset(&core, 0, sizeof(core));
	host_begin();
	w.before = true;
	if (vp_local_new(&config, &w.local, NULL))
		violate("vp_local_new() failed");
	w.local->serializer = sc->serializer ? sc->serializer : VP_SERIALIZER_KICK;
	target()->sink.arg = &w;
	target()->sink.handle = handle;
	for (unsigned int i = 0; i < ASKERS; i++)
		host_start(i, asker_main);
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		w.thread[VCPU_THREAD + i].traps_left = sc->traps;
		w.thread[VCPU_THREAD + i].exits_left = sc->exits;
		host_start(VCPU_THREAD + i, vcpu_main);
	}
	w.before = false;
}

/* Of n choices, those that go on with the thread that made the last step; 0: it cannot. */
static unsigned int going_on(struct choice *to, unsigned int n)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n; i++)
		if (to[i].who == w.last && to[i].what == BY_STEP)
			to[kept++] = to[i];
	return kept;
}

unsigned int world_choices(struct choice *to)
{
	unsigned int n = 0, kept = 0;

	for (unsigned int i = 0; i < VCPU_THREAD + sc->vcpus; i++)
		n += host_choices(i, to + n);
	if (sc->switches && !w.switches_left)
		kept = going_on(to, n);
	return kept ? kept : n;
}

static bool can_go_on(unsigned int who)
{
	struct choice list[MAX_CHOICES];

	return going_on(list, host_choices(who, list)) != 0;
}

void world_step(const struct choice *c)
{
	if (sc->switches && c->who != w.last && can_go_on(w.last))
		w.switches_left--;
	host_step(c);
	check_state();
}

struct scenario_text world_scenario(size_t i)
{
	return (struct scenario_text){ scenarios[i].name, scenarios[i].what, scenarios[i].quick };
}

bool world_break(const char *what)
{
	(void)what;
	return false;
}

unsigned int world_columns(void)
{
	return VCPU_THREAD + sc->vcpus;
}

const char *world_column(unsigned int who, char text[16])
{
	if (who < ASKERS)
		snprintf(text, 16, who ? "VMM" : "patcher");
	else
		snprintf(text, 16, "vCPU %u", who - VCPU_THREAD);
	return text;
}

struct world_bytes world_bytes(void)
{
	return (struct world_bytes){ &w, sizeof(w) };
}

void world_clean(void)
{
}

void world_freed(const void *p)
{
	(void)p;
}
