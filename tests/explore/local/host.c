/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, their locks and signals, and a KVM of a few states: what hooks.h leads to. */
#include "hooks.h"

#include "target/serialize.h"
#include "world.h"

struct world w;
const struct scenario *sc;

static void (*kick_handler)(int sig);

/* Of local_kick.c: one variable, which each thread has for itself. */
extern volatile int __start_explore_tls;
#define TLS (&__start_explore_tls)

struct thread *host_self(void)
{
	return &w.thread[coro_running()];
}

static struct vp_local_vcpu *vcpu_of(unsigned int who)
{
	return who < VCPU_THREAD || !w.local ? NULL : w.local->vcpus[who - VCPU_THREAD];
}

static void pause_at(enum where where, const void *what)
{
	struct thread *t = host_self();

	if (w.before)
		return;
	t->where = (uint8_t)where;
	t->waits_for = what;
	coro_yield();
	t->where = AT_STEP;
	t->waits_for = NULL;
}

void host_wait_at(enum where where)
{
	pause_at(where, NULL);
}

/* --- steps ------------------------------------------------------------------------ */

/* Nobody else writes it, so that when it is read does not matter. */
static bool is_own(const volatile void *at)
{
	const struct vp_local_vcpu *v = vcpu_of(coro_running());

	return v && (at == &v->mode || at == &v->ack || at == &v->traps || at == &v->armed);
}

static bool scripted(enum action_kind kind)
{
	for (unsigned int i = 0; i < ASKERS; i++)
		for (unsigned int k = 0; sc->script[i][k]; k++)
			if (sc->script[i][k] == kind)
				return true;
	return false;
}

/* What nobody writes in this scenario, or its vCPU alone reads and writes, or others look at. */
static bool never_changes(const volatile void *at)
{
	if (at == &w.local->holds)
		return !scripted(ACT_STOP) && !scripted(ACT_PAUSE);
	if (!sc->fine && (at == &w.local->answered || at == &w.local->gathered))
		return true;
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		const struct vp_local_vcpu *v = w.local->vcpus[i];

		if (v && at == &v->called && !sc->fine)
			return true;
		if (v && at == &v->arm_error)
			return !sc->failures;
		if (v && at == &v->hold)
			return !scripted(ACT_HOLD);
		if (v && at == &v->interrupt)
			return !scripted(ACT_INTERRUPT);
		if (v && at == &v->stands)
			return true;
	}
	if (at == &w.local->gather)
		return !scripted(ACT_BATCH) && !scripted(ACT_GUARD) && !scripted(ACT_SYNC) &&
		       !scripted(ACT_SYNC_EXIT);
	if (at == &w.local->emulates)
		return true;
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.local->vcpus[i] &&
		    (at == &w.local->vcpus[i]->known || at == &w.local->vcpus[i]->alone))
			return true;
	/* No breakpoints are set here; the clock says what armed_until would. */
	return at == &w.local->nbreaks || at == &w.local->armed_until;
}

/* A vCPU thread that lets the next kick count is about to enter: its trap is carried out. */
static void leave_trap(const volatile void *at)
{
	unsigned int who = coro_running();

	if (who >= VCPU_THREAD && at == &w.run[who - VCPU_THREAD].immediate_exit)
		w.thread[who].handling = w.thread[who].must_leave = false;
}

/* For a schedule that is printed: "reads epoch", "writes mode 0". */
static void note_access(const volatile void *at, enum x_access how)
{
	const struct vp_local *l = w.local;
	const char *verb = how == X_LOAD ? "reads" : "writes";

#define FIELD(field)         \
	if (at == &l->field) \
	note("%s " #field, verb)
	FIELD(epoch);
	FIELD(holds);
	FIELD(want_armed);
	FIELD(unparks);
	FIELD(paused);
	FIELD(nvcpus);
	FIELD(waiting);
	FIELD(changes);
	FIELD(gather);
	FIELD(gathered);
	FIELD(answered);
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		const struct vp_local_vcpu *v = l->vcpus[i];

		if (at == &w.run[i].immediate_exit)
			note("%s immediate_exit %u", verb, i);
		if (!v)
			continue;
#undef FIELD
#define FIELD(field)         \
	if (at == &v->field) \
	note("%s " #field " %u", verb, i)
		FIELD(mode);
		FIELD(ack);
		FIELD(traps);
		FIELD(armed);
		FIELD(arm_error);
		FIELD(hold);
		FIELD(interrupt);
		FIELD(leaving);
		FIELD(called);
#undef FIELD
	}
}

void x_step(const volatile void *at, enum x_access how)
{
	if (w.before || (how == X_LOAD && is_own(at)) || never_changes(at))
		return;
	pause_at(AT_STEP, NULL);
	if (notes && at)
		note_access(at, how);
	if (how == X_STORE)
		leave_trap(at);
}

/* --- locks ------------------------------------------------------------------------ */

/* In the room that the real one has. */
struct mutex {
	uint32_t owner; /* 1 + thread; 0: free */
	uint32_t checks;
};

static struct mutex *mutex_of(pthread_mutex_t *m)
{
	return (struct mutex *)(void *)m;
}

void x_mutex_init(pthread_mutex_t *m, bool checks)
{
	memset(m, 0, sizeof(*m));
	mutex_of(m)->checks = checks;
}

int x_mutex_lock(pthread_mutex_t *m)
{
	struct mutex *x = mutex_of(m);

	if (x->checks && x->owner == 1 + coro_running())
		return EDEADLK;
	if (m != &w.local->lock || sc->script[1][0] || sc->joins || sc->leaves)
		pause_at(AT_MUTEX, x);
	x->owner = 1 + coro_running();
	return 0;
}

/* No step: whoever waits for it could as well have come later. */
int x_mutex_unlock(pthread_mutex_t *m)
{
	if (mutex_of(m)->owner != 1 + coro_running())
		violate("a lock is let go by who does not have it");
	mutex_of(m)->owner = 0;
	return 0;
}

int x_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	struct thread *t = host_self();

	pause_at(AT_STEP, NULL); /* between the last look and the sleep */
	x_mutex_unlock(m);
	t->woken = false;
	pause_at(IN_COND, c);
	if (t->ending == BY_TIMEOUT)
		note("the wait times out");
	if (mutex_of(m)->owner)
		pause_at(AT_MUTEX, m);
	mutex_of(m)->owner = 1 + coro_running();
	return t->ending == BY_TIMEOUT ? ETIMEDOUT : 0;
}

static void wake(enum where where, const volatile void *what)
{
	for (unsigned int i = 0; i < THREADS; i++)
		if (w.thread[i].where == where && w.thread[i].waits_for == what)
			w.thread[i].woken = true;
}

/* No step, nor is a futex's: who was not asleep before would not have slept. */
void x_cond_broadcast(pthread_cond_t *c)
{
	wake(IN_COND, c);
}

/* --- signals, futex ----------------------------------------------------------------- */

/* To a thread that is not the running one. */
static void deliver(struct thread *t)
{
	int saved = *TLS;

	t->signal = false;
	*TLS = t->tls;
	kick_handler(0);
	t->tls = *TLS;
	*TLS = saved;
}

/* A system call returns: what is pending comes first. True: there was a signal. */
static bool deliver_pending(void)
{
	struct thread *t = host_self();
	bool pending = t->signal;

	t->signal = false;
	if (pending)
		kick_handler(0);
	return pending;
}

int x_sigaction(int sig, const struct sigaction *to, struct sigaction *was)
{
	(void)sig;
	if (was)
		memset(was, 0, sizeof(*was)); /* SIG_DFL */
	if (to)
		kick_handler = to->sa_handler;
	return 0;
}

pthread_t x_self(void)
{
	return 1 + coro_running();
}

pid_t x_tid(void)
{
	return (pid_t)(1 + coro_running());
}

/*
 * It interrupts whoever runs. In the guest a vCPU that has a signal cannot go on; others go on
 * after SYNC_CORE with what they fetch from now on, wherever they run next.
 */
long x_membarrier(int command)
{
	if (command == MEMBARRIER_CMD_QUERY)
		return ~0u;
	if (command != MEMBARRIER_CMD_PRIVATE_EXPEDITED &&
	    command != MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)
		return 0;
	x_step(NULL, X_STORE);
	note("a membarrier");
	for (unsigned int i = VCPU_THREAD; i < THREADS; i++) {
		struct thread *t = &w.thread[i];

		if (command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)
			t->serialized = w.written;
		if (t->where == IN_GUEST && t->signal)
			t->called_out = true;
	}
	return 0;
}

int x_tgkill(int pid, int tid, int sig)
{
	(void)pid;
	(void)sig;
	x_step(NULL, X_STORE);
	note("kicks vCPU %u", (unsigned int)tid - 1 - VCPU_THREAD);
	w.thread[tid - 1].signal = true;
	return 0;
}

static int fail(int code)
{
	errno = code;
	return -1;
}

/* It has no end by itself: whoever needs that would sleep for a tenth of a second. */
int x_futex(_Atomic uint32_t *at, int op, uint32_t value, const struct timespec *limit)
{
	struct thread *t = host_self();

	if (op == FUTEX_WAKE_PRIVATE) {
		wake(IN_FUTEX, at);
		return 0;
	}
	x_step(at, X_STORE);
	if (!limit) /* Linux would begin it anew behind a handler that is SA_RESTART */
		violate("a futex without a limit is not ended by signals");
	if (deliver_pending())
		return fail(EINTR);
	if (atomic_load_explicit(at, memory_order_seq_cst) != value)
		return fail(EAGAIN);
	note("sleeps");
	t->woken = false;
	pause_at(IN_FUTEX, at);
	if (t->ending != BY_SIGNAL)
		return 0;
	deliver_pending();
	return fail(EINTR);
}

/* --- KVM ---------------------------------------------------------------------------- */

/* KVM_RUN. It looks at immediate_exit, then for signals as it enters, then at nothing else. */
static int run(unsigned int id)
{
	struct thread *t = host_self();
	struct kvm_run *r = &w.run[id];
	uint8_t entered = w.written;

	if (X_AT(&r->immediate_exit, X_LOAD, r->immediate_exit)) {
		note("KVM_RUN ends at once");
		deliver_pending();
		return fail(EINTR);
	}
	pause_at(IN_KERNEL, NULL);
	if (deliver_pending()) {
		note("KVM_RUN ends: a signal");
		return fail(EINTR);
	}
	note("enters the guest");
	t->entered = entered;
	pause_at(IN_GUEST, NULL);
	t->called_out = false;
	memset(r, 0, offsetof(struct kvm_run, immediate_exit));
	r->exit_reason = t->ending == BY_TRAP ? KVM_EXIT_DEBUG : KVM_EXIT_IO;
	r->debug.arch.exception = 3;
	note(t->ending == BY_TRAP   ? "runs an int3"
	     : t->ending == BY_EXIT ? "exits to the VMM"
				    : "is called out");
	if (t->ending == BY_TRAP)
		t->traps_left--;
	if (t->ending == BY_EXIT)
		t->exits_left--;
	deliver_pending();
	return t->ending == BY_SIGNAL ? fail(EINTR) : 0;
}

static int arm(unsigned int id, const struct kvm_guest_debug *debug)
{
	struct thread *t = host_self();

	if (w.failures_left && debug->control) {
		pause_at(AT_CHOICE, NULL);
		if (t->ending == BY_REFUSAL) {
			note("KVM does not arm");
			w.failures_left--;
			w.refused |= 1;
			return fail(EBUSY);
		}
	} else {
		x_step(NULL, X_STORE);
	}
	note(debug->control ? "is armed" : "is disarmed");
	w.thread[VCPU_THREAD + id].debug = debug->control != 0;
	return 0;
}

int x_ioctl(int fd, unsigned long request, uintptr_t arg)
{
	unsigned int id = (unsigned int)fd;
	void *out = (void *)arg;

	if (w.thread[VCPU_THREAD + id].where == IN_GUEST)
		violate("vCPU %u is asked for its registers while it is in the guest", id);
	switch (request) {
	case KVM_RUN:
		return run(id);
	case KVM_SET_GUEST_DEBUG:
		return arm(id, out);
	case KVM_GET_REGS:
		memset(out, 0, sizeof(struct kvm_regs));
		return 0;
	case KVM_GET_SREGS:
		memset(out, 0, sizeof(struct kvm_sregs));
		((struct kvm_sregs *)out)->cr0 = 0x80000001;
		((struct kvm_sregs *)out)->cr4 = 0x20;
		((struct kvm_sregs *)out)->efer = 0xd01;
		((struct kvm_sregs *)out)->cs.l = 1;
		return 0;
	case KVM_GET_VCPU_EVENTS:
		memset(out, 0, sizeof(struct kvm_vcpu_events));
		return 0;
	case KVM_GET_CPUID2: /* of a guest that has no guests */
		((struct kvm_cpuid2 *)out)->nent = 0;
		return 0;
	case KVM_SET_REGS:
	case KVM_SET_VCPU_EVENTS:
	case KVM_GET_MSRS:
		return 0;
	default:
		return fail(EINVAL);
	}
}

/* --- what else they call ------------------------------------------------------------- */

/* No step: later it would have seen no less. */
void vp_serialize(void)
{
	note("serializes");
	host_self()->serialized = w.written;
}

struct timespec vp_deadline_us(uint64_t timeout_us)
{
	(void)timeout_us;
	return (struct timespec){ 0 };
}

int64_t vp_now_us(void)
{
	return 0;
}

/* For a vCPU that looks whether it is to disarm: too early, or not. */
int64_t vp_now_ms(void)
{
	if (!sc->lingers || coro_running() < VCPU_THREAD)
		return coro_running() < VCPU_THREAD ? 0 : INT32_MAX;
	pause_at(AT_CLOCK, NULL);
	return host_self()->ending == BY_REFUSAL ? INT32_MAX : 0;
}

void vp_cond_init(pthread_cond_t *cond)
{
	memset(cond, 0, sizeof(*cond));
}

/* --- schedules ------------------------------------------------------------------------ */

void host_begin(void)
{
	memset(&w, 0, sizeof(w));
	*TLS = 0;
	w.timeouts_left = sc->timeouts;
	w.failures_left = sc->failures;
	w.switches_left = sc->switches;
}

void host_start(unsigned int who, void (*entry)(void))
{
	w.thread[who].where = AT_STEP;
	coro_start(who, entry);
	host_step(&(struct choice){ (uint8_t)who, BY_STEP, 0 });
}

static unsigned int offer(struct choice *to, unsigned int who, enum ending how, bool possible)
{
	if (possible)
		*to = (struct choice){ (uint8_t)who, (uint8_t)how, 0 };
	return possible;
}

/* Who stays out for others looks now and then whether that is over. It may also lose patience. */
static bool looks_again(const struct thread *t)
{
	const struct vp_local_vcpu *v = vcpu_of((unsigned int)(t - w.thread));

	return t->waits_for == &w.local->gathered &&
	       (!atomic_load_explicit(&w.local->gather, memory_order_seq_cst) ||
		atomic_load_explicit(&v->interrupt, memory_order_seq_cst));
}

unsigned int host_choices(unsigned int who, struct choice *to)
{
	const struct thread *t = &w.thread[who];
	unsigned int n = 0;

	switch ((enum where)t->where) {
	case AT_NOTHING:
		break;
	case AT_CHOICE:
		n += offer(to + n, who, BY_REFUSAL, w.failures_left);
		/* fall through */
	case AT_STEP:
		n += offer(to + n, who, BY_SIGNAL, t->signal);
		/* fall through */
	case IN_KERNEL:
		n += offer(to + n, who, BY_STEP, true);
		break;
	case AT_CLOCK:
		n += offer(to + n, who, BY_STEP, true);
		n += offer(to + n, who, BY_REFUSAL, true);
		break;
	case AT_VMM:
		n += offer(to + n, who, BY_STAYING, sc->stays);
		n += offer(to + n, who, BY_STEP, true);
		n += offer(to + n, who, BY_SIGNAL, t->signal);
		break;
	case AT_MUTEX:
		n += offer(to + n, who, BY_STEP, !((const struct mutex *)t->waits_for)->owner);
		n += offer(to + n, who, BY_SIGNAL, t->signal);
		break;
	case IN_COND:
		n += offer(to + n, who, BY_STEP, t->woken);
		n += offer(to + n, who, BY_TIMEOUT, !t->woken && w.timeouts_left);
		break;
	case IN_FUTEX:
		n += offer(to + n, who, BY_STEP, t->woken || looks_again(t));
		n += offer(to + n, who, BY_SIGNAL, t->signal);
		break;
	case IN_GUEST:
		n += offer(to + n, who, BY_SIGNAL, t->signal);
		n += offer(to + n, who, BY_TRAP, t->traps_left && t->debug && !t->called_out);
		n += offer(to + n, who, BY_EXIT, t->exits_left && !t->called_out);
		break;
	}
	return n;
}

void host_step(const struct choice *c)
{
	struct thread *t = &w.thread[c->who];

	/* In user space a handler runs between two steps. */
	if (c->what == BY_SIGNAL && t->where != IN_GUEST && t->where != IN_FUTEX) {
		note("takes the signal");
		deliver(t);
		return;
	}
	if (c->what == BY_TIMEOUT)
		w.timeouts_left--;
	if (sc->switches) /* else nobody asks, and states would differ */
		w.last = c->who;
	t->ending = c->what;
	*TLS = t->tls;
	coro_run(c->who);
	t->tls = *TLS;
	*TLS = 0;
}
