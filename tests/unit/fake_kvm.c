/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_kvm.h"

struct fake_kvm_vcpu fake_kvm[FAKE_KVM_VCPUS];
bool (*fake_kvm_other)(int fd, unsigned long request, void *arg, int *rc);

void fake_kvm_reset(void)
{
	memset(fake_kvm, 0, sizeof(fake_kvm));
	for (unsigned int i = 0; i < FAKE_KVM_VCPUS; i++) {
		struct kvm_sregs *s = &fake_kvm[i].sregs;

		s->cr0 = 0x80000001;
		s->cr3 = 0x1000;
		s->cr4 = 0x20;
		s->efer = 0xd01;
		s->cs.l = 1;
	}
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* KVM looks for signals when it has switched interrupts off, so none comes a moment too early. */
static int run(struct fake_kvm_vcpu *c)
{
	bool signalled = false;
	sigset_t all, old;
	int rc = -1;

	atomic_fetch_add(&c->runs, 1);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	/* Behind that: who set it before he sent a signal that came too early is seen here. */
	if (__atomic_load_n(&c->run.immediate_exit, __ATOMIC_SEQ_CST)) {
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		return fail(EINTR);
	}
	atomic_store(&c->inside, true);
	if (c->guest)
		rc = c->guest(c);
	while (rc && !signalled)
		signalled = ppoll(NULL, 0, NULL, &old) < 0 && errno == EINTR;
	atomic_store(&c->inside, false);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? fail(EINTR) : 0;
}

static void set_events(struct fake_kvm_vcpu *c, const struct kvm_vcpu_events *e)
{
	struct kvm_vcpu_events was = c->events;

	c->events = *e;
	c->events.flags = was.flags;
	if (!(e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING))
		c->events.nmi.pending = was.nmi.pending;
	if (!(e->flags & KVM_VCPUEVENT_VALID_SHADOW))
		c->events.interrupt.shadow = was.interrupt.shadow;
	if (!(e->flags & KVM_VCPUEVENT_VALID_SMM))
		c->events.smi = was.smi;
}

static int nested_state(const struct fake_kvm_vcpu *c, struct kvm_nested_state *s)
{
	if (s->size < sizeof(*s) + (c->nested ? 0x2000 : 0))
		return fail(E2BIG);
	s->flags = c->nested ? KVM_STATE_NESTED_GUEST_MODE : 0;
	return 0;
}

/* What KVM does whenever KVM_RUN returns: store_regs(). */
static void leave_regs(struct fake_kvm_vcpu *c)
{
	__u64 valid = c->old ? 0 : c->run.kvm_valid_regs;

	if (valid & KVM_SYNC_X86_REGS)
		c->run.s.regs.regs = c->regs;
	if (valid & KVM_SYNC_X86_SREGS)
		c->run.s.regs.sregs = c->sregs;
	if (valid & KVM_SYNC_X86_EVENTS)
		c->run.s.regs.events = c->events;
}

static int answer(struct fake_kvm_vcpu *c, unsigned long request, void *arg)
{
	struct kvm_guest_debug debug;
	int rc;

	switch (request) {
	case KVM_GET_REGS:
	case KVM_GET_SREGS:
	case KVM_GET_VCPU_EVENTS:
		c->asked++;
	}
	switch (request) {
	case KVM_RUN:
		rc = run(c);
		leave_regs(c);
		return rc;
	case KVM_GET_REGS:
		memcpy(arg, &c->regs, sizeof(c->regs));
		return 0;
	case KVM_SET_REGS:
		memcpy(&c->regs, arg, sizeof(c->regs));
		c->events.exception.injected = c->events.exception.pending = 0;
		return 0;
	case KVM_GET_SREGS:
		memcpy(arg, &c->sregs, sizeof(c->sregs));
		return 0;
	case KVM_GET_VCPU_EVENTS:
		memcpy(arg, &c->events, sizeof(c->events));
		if (c->on_get_events)
			c->on_get_events(c);
		return 0;
	case KVM_SET_VCPU_EVENTS:
		set_events(c, arg);
		return 0;
	case KVM_SET_GUEST_DEBUG:
		memcpy(&debug, arg, sizeof(debug));
		atomic_store(&c->armed, debug.control & KVM_GUESTDBG_USE_SW_BP);
		return 0;
	case KVM_GET_NESTED_STATE:
		return nested_state(c, arg);
	default:
		return fail(EINVAL);
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int rc;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fake_kvm_other && fake_kvm_other(fd, request, arg, &rc))
		return rc;
	if (fd >= FAKE_KVM_FD && fd < FAKE_KVM_FD + FAKE_KVM_VCPUS)
		return answer(&fake_kvm[fd - FAKE_KVM_FD], request, arg);
	return (int)syscall(SYS_ioctl, fd, request, arg);
}
