/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM that the local target sees in this test: the real one behind ioctl(), which is linked
 * with --wrap, plus the trap route of guest/user.h. An int3 at CPL 3 gives no exit but goes to
 * the guest's handler, which says so with an `out`; here that becomes the exit that a VMX host
 * reports:
 *
 *	the target calls			here
 *	KVM_SET_GUEST_DEBUG			nothing: armed at all times
 *	KVM_RUN	-> `out` to TG_PORT_BP		back to before the int3, KVM_EXIT_DEBUG
 *	KVM_SET_VCPU_EVENTS, inject #BP		forward again: the guest's handler goes on
 *	KVM_RUN -> `out` to TG_PORT_IRET	the guest's iretq is done
 *
 * So the product's code has no part of this route in it. The int3 and the exit are not one step, as
 * they are where KVM intercepts #BP: a kick may come between them, and the trap is late then (S5).
 *
 * All of this happens on the vCPU's own thread.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmpoke/guest.h>
#include <vmpoke/local.h>

#include "guest/user.h"
#include "target/local_internal.h"

#define BP_VECTOR 3

struct frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

/* The vCPU of this thread. */
static __thread struct {
	int fd; /* 0: this thread has none */
	struct kvm_run *run;
	struct vp_local *l;
	bool trapped; /* it stands before an int3; `regs` and `sregs` are its handler's */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
} me;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_vp_local_new(const struct vp_local_config *config, struct vp_local **out,
			struct vp_err *err);
int __wrap_vp_local_new(const struct vp_local_config *config, struct vp_local **out,
			struct vp_err *err);
int __real_vp_local_op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
			    struct vp_err *err);
int __wrap_vp_local_op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
			    struct vp_err *err);
int __real_vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
				struct vp_local_vcpu **out, struct vp_err *err);
int __wrap_vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
				struct vp_local_vcpu **out, struct vp_err *err);

/* Whatever the host does with CPL 0: the workers are at CPL 3, which is native. */
static int use_serializer(struct vp_local *l, enum vp_serializer s, struct vp_err *err)
{
	int command = s == VP_SERIALIZER_MEMBARRIER
			      ? MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
			      : MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;

	if (s != VP_SERIALIZER_KICK && syscall(SYS_membarrier, command, 0, 0))
		return vp_err_set(err, -errno, "no membarrier: %s", strerror(errno));
	l->serializer = s;
	l->target.serializer = vp_serializer_name(s);
	return 0;
}

/* Whatever was probed at CPL 0: this is the route here. */
int __wrap_vp_local_new(const struct vp_local_config *config, struct vp_local **out,
			struct vp_err *err)
{
	struct vp_local_config c = *config;
	int rc;

	c.route = VP_ROUTE_DEBUG;
	c.serializer = VP_SERIALIZER_KICK;
	rc = __real_vp_local_new(&c, out, err);
	return rc || !config->serializer ? rc : use_serializer(*out, config->serializer, err);
}

/* At CPL 3 nothing of this guest's is emulated. */
int __wrap_vp_local_op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
			    struct vp_err *err)
{
	(void)what;
	return __real_vp_local_op_sync(t, VP_SYNC_CORE, timeout_ms, err);
}

int __wrap_vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
				struct vp_local_vcpu **out, struct vp_err *err)
{
	memset(&me, 0, sizeof(me));
	me.fd = fd;
	me.run = run;
	me.l = l;
	return __real_vp_local_vcpu_attach(l, id, fd, run, out, err);
}

static struct kvm_segment user_segment(uint64_t selector, bool code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = (uint16_t)selector,
		.type = code ? 11 : 3,
		.present = 1,
		.dpl = 3,
		.s = 1,
		.g = 1,
		.l = code,
		.db = !code,
	};
}

static int set_state(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	return __real_ioctl(me.fd, KVM_SET_SREGS, sregs) || __real_ioctl(me.fd, KVM_SET_REGS, regs);
}

/* What iretq would do with the frame @off bytes above RSP; RIP goes @back before that. */
static int leave_through(const struct kvm_regs *from, const struct kvm_sregs *sfrom,
			 unsigned int off, unsigned int back)
{
	vp_gpa at = VP_GPA(from->rsp + off - VP_GUEST_DIRECT_MAP);
	const struct frame *f = vp_local_hva(me.l, at, sizeof(*f));
	struct kvm_sregs sregs = *sfrom;
	struct kvm_regs regs = *from;

	if (!f)
		return -1;
	sregs.cs = user_segment(f->cs, true);
	sregs.ss = user_segment(f->ss, false);
	regs.rip = f->rip - back;
	regs.rflags = f->rflags;
	regs.rsp = f->rsp;
	return set_state(&regs, &sregs);
}

static int fail(void)
{
	errno = EIO;
	return -1;
}

/*
 * Never straight into the guest again but back to the target (EAGAIN), as with any exit: it may
 * have asked for the vCPU meanwhile.
 */
static int again(void)
{
	errno = EAGAIN;
	return -1;
}

static int on_iret(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	return leave_through(regs, sregs, 0, 0) ? fail() : again();
}

static int on_bp(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	if (leave_through(regs, sregs, TG_BP_FRAME_OFF, 1))
		return fail();
	me.regs = *regs;
	me.sregs = *sregs;
	me.trapped = true;
	me.run->kvm_valid_regs = 0; /* what KVM has left there is the handler's */
	me.run->exit_reason = KVM_EXIT_DEBUG;
	memset(&me.run->debug, 0, sizeof(me.run->debug));
	me.run->debug.arch.exception = BP_VECTOR;
	return 0;
}

static int run(void)
{
	int rc = __real_ioctl(me.fd, KVM_RUN, 0);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	unsigned int port;

	if (rc || me.run->exit_reason != KVM_EXIT_IO)
		return rc;
	port = me.run->io.port;
	if (port != TG_PORT_BP && port != TG_PORT_IRET)
		return 0;
	if (__real_ioctl(me.fd, KVM_GET_REGS, &regs) || __real_ioctl(me.fd, KVM_GET_SREGS, &sregs))
		return fail();
	return port == TG_PORT_BP ? on_bp(&regs, &sregs) : on_iret(&regs, &sregs);
}

static int set_events(const struct kvm_vcpu_events *events)
{
	if (!events->exception.injected || events->exception.nr != BP_VECTOR || !me.trapped)
		return __real_ioctl(me.fd, KVM_SET_VCPU_EVENTS, events);
	return set_state(&me.regs, &me.sregs) ? fail() : 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (me.fd && fd == me.fd) {
		switch (request) {
		case KVM_RUN:
			me.trapped = false;
			return run();
		case KVM_SET_GUEST_DEBUG:
			return 0; /* each int3 is reported */
		case KVM_SET_VCPU_EVENTS:
			return set_events(arg);
		}
	}
	return __real_ioctl(fd, request, arg);
}
