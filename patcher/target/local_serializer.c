/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync(): every vCPU has serialized. docs/serialization.md says why each way is right, and where.
 *
 *	kick			each vCPU that is in the guest is called out, and answers
 *	kick-membarrier		each is called; a membarrier then leaves nobody in the guest, and
 *				nobody comes back who has not seen the call: no answer is awaited
 *	membarrier		the kernel serializes the cores that our threads run on
 *
 * The latter two say nothing of an instruction that KVM is emulating, so VP_SYNC_EXIT is always a
 * kick.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "target/local_internal.h"

/* --- which ----------------------------------------------------------------------- */

const char *vp_serializer_name(enum vp_serializer s)
{
	switch (s) {
	case VP_SERIALIZER_KICK:
		return "kick";
	case VP_SERIALIZER_KICK_MEMBARRIER:
		return "kick-membarrier";
	case VP_SERIALIZER_MEMBARRIER:
		return "membarrier";
	case VP_SERIALIZER_AUTO:
		break;
	}
	return "auto";
}

/* The start of a file of sysfs; "" if it cannot be read. */
static void read_text(const char *path, char text[64])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 63);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Does the CPU fetch what kernel mode executes? NULL: yes. */
static const char *who_emulates(enum vp_trap_route route)
{
	char text[64];

	if (route != VP_ROUTE_DEBUG)
		return "this host's KVM emulates the guest's kernel mode in software";
	if (!access("/sys/module/kvm_pvm", F_OK))
		return "kvm_pvm is loaded, which emulates";
	if (!access("/sys/module/kvm_amd", F_OK))
		return NULL;
	read_text("/sys/module/kvm_intel/parameters/unrestricted_guest", text);
	if (text[0] == 'Y' || text[0] == '1')
		return NULL;
	return text[0] ? "kvm_intel has no unrestricted guest mode here, and emulates"
		       : "neither kvm_intel nor kvm_amd is loaded on this host";
}

/* Since 5.11 each core that is interrupted executes a serializing instruction by itself. */
static bool is_old_kernel(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	return uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2 || major < 5 ||
	       (major == 5 && minor < 11);
}

static const char *who_skips_cores(void)
{
	char text[64];

	if (is_old_kernel())
		return "membarrier does not serialize cores for certain before Linux 5.11";
	read_text("/sys/devices/system/cpu/vulnerabilities/meltdown", text);
	if (!text[0] || strstr(text, "PTI"))
		return "with page-table isolation (PTI) the kernel serializes on the way to user "
		       "space, which a vCPU does not go";
	return NULL;
}

static const char *who_refuses(int query, int command)
{
	long known = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (known >= 0 && known & query && !syscall(SYS_membarrier, command, 0, 0))
		return NULL;
	return "the kernel offers no such membarrier";
}

const char *vp_serializer_why_not(enum vp_serializer s, enum vp_trap_route route)
{
	const char *why = NULL;

	if (s != VP_SERIALIZER_KICK_MEMBARRIER && s != VP_SERIALIZER_MEMBARRIER)
		return NULL;
	why = who_emulates(route);
	if (why)
		return why;
	if (s == VP_SERIALIZER_KICK_MEMBARRIER)
		return who_refuses(MEMBARRIER_CMD_PRIVATE_EXPEDITED,
				   MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	why = who_skips_cores();
	return why ? why
		   : who_refuses(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
				 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
}

enum vp_serializer vp_serializer_best(enum vp_trap_route route)
{
	if (!vp_serializer_why_not(VP_SERIALIZER_MEMBARRIER, route))
		return VP_SERIALIZER_MEMBARRIER;
	return vp_serializer_why_not(VP_SERIALIZER_KICK_MEMBARRIER, route)
		       ? VP_SERIALIZER_KICK
		       : VP_SERIALIZER_KICK_MEMBARRIER;
}

int vp_local_choose_serializer(struct vp_local *l, enum vp_serializer wanted, struct vp_err *err)
{
	const char *why = vp_serializer_why_not(wanted, l->route);

	if ((unsigned int)wanted > VP_SERIALIZER_MEMBARRIER)
		return vp_err_set(err, -EINVAL, "there is no serializer %d", (int)wanted);
	if (why)
		return vp_err_set(err, -EOPNOTSUPP, "serializer %s is not for this host: %s",
				  vp_serializer_name(wanted), why);
	l->serializer = wanted == VP_SERIALIZER_AUTO ? vp_serializer_best(l->route) : wanted;
	l->target.serializer = vp_serializer_name(l->serializer);
	return 0;
}

/* --- who has served an epoch stays out for the others ------------------------------- */

/*
 * On a host with more to do than cores a vCPU that does not answer waits for a core, and those that
 * have answered would take it: each sync would last as long as the scheduler's slices. So they stay
 * out until the lock is let go, or for LOOK_US times GATHER_LOOKS; whoever is the first to see that
 * it is over wakes the others. But not if all answer at once: then each goes on.
 */
#define LOOK_US	     150u
#define GATHER_LOOKS 7

bool vp_local_stay_out(struct vp_local_vcpu *v, uint64_t epoch)
{
	struct vp_local *l = v->l;

	if (!atomic_load(&l->gather))
		return false;
	for (unsigned int i = 0; i <= VP_LOCAL_LOOKS; i++) {
		if (atomic_load(&l->answered) >= epoch)
			return false;
		__builtin_ia32_pause();
	}
	atomic_store(&v->mode, VP_MODE_OUT);
	vp_local_notify(l);
	vp_local_count(&v->stayed, 1);
	for (unsigned int looks = 0; looks < GATHER_LOOKS && !atomic_load(&v->interrupt);) {
		uint32_t seen = atomic_load(&l->gathered);

		if (!atomic_load(&l->gather)) {
			vp_local_wake_gathered(l);
			break;
		}
		if (!vp_local_sleep(v, &l->gathered, seen, LOOK_US))
			looks++;
	}
	return true;
}

/* Nobody is woken here: they would take the caller's core, for slices of milliseconds. */
void vp_local_end_gathering(struct vp_local *l)
{
	if (atomic_load(&l->gather))
		atomic_store(&l->gather, false);
}

/* --- sync -------------------------------------------------------------------------- */

static bool has_serialized(struct vp_local_vcpu *v, uint64_t epoch)
{
	return atomic_load(&v->mode) != VP_MODE_GUEST || atomic_load(&v->ack) >= epoch;
}

/* Call those that have not. How many; -1: somebody could not be called. */
static int call_all(struct vp_local *l, uint64_t epoch, bool gather)
{
	bool failed = false;
	int n = 0;

	for (unsigned int i = 0; i < VP_VCPU_MAX; i++) {
		if (!l->vcpus[i] || has_serialized(l->vcpus[i], epoch))
			continue;
		if (!n++ && gather)
			atomic_store(&l->gather, true);
		failed = vp_local_call(l->vcpus[i]) || failed;
	}
	return failed ? -1 : n;
}

static bool barrier(struct vp_local *l, int command)
{
	vp_local_count(&l->barriers, 1);
	return !syscall(SYS_membarrier, command, 0, 0);
}

static bool all_have_serialized(struct vp_local *l, uint64_t epoch)
{
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i] && !has_serialized(l->vcpus[i], epoch))
			return false;
	return true;
}

int vp_local_op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		     struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	enum vp_serializer by = what == VP_SYNC_CORE ? l->serializer : VP_SERIALIZER_KICK;
	/* Whoever is out serializes by the epoch before it enters. */
	uint64_t epoch = atomic_fetch_add(&l->epoch, 1) + 1;
	int called, rc;

	vp_local_count(&l->syncs, 1);
	if (by == VP_SERIALIZER_MEMBARRIER &&
	    (all_have_serialized(l, epoch) ||
	     barrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)))
		return 0;
	called = call_all(l, epoch, by != VP_SERIALIZER_KICK_MEMBARRIER);
	if (!called || (called > 0 && by == VP_SERIALIZER_KICK_MEMBARRIER &&
			barrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED)))
		return 0;
	rc = vp_local_wait_all(l, has_serialized, epoch, timeout_ms, err);
	if (!rc)
		atomic_store(&l->answered, epoch);
	return rc;
}
