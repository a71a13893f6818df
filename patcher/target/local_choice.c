/* SPDX-License-Identifier: Apache-2.0 */
/* Which serializer is right on this host, and for this guest: docs/serialization.md. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "target/local_internal.h"

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

static bool is_on(const char *path)
{
	char text[64];

	read_text(path, text);
	return text[0] == 'Y' || text[0] == '1';
}

/* Of the CPU; "" if it cannot be told. */
static void vendor(char text[13])
{
	unsigned int a, word[3] = { 0 };

	__get_cpuid(0, &a, &word[0], &word[2], &word[1]);
	memcpy(text, word, 12);
	text[12] = '\0';
}

/* Does the CPU fetch what kernel mode executes? NULL: yes. */
static const char *who_emulates(enum vp_trap_route route)
{
	char cpu[13];

	if (route != VP_ROUTE_DEBUG)
		return "this host's KVM emulates the guest's kernel mode in software";
	if (!access("/sys/module/kvm_pvm", F_OK))
		return "kvm_pvm is loaded, which emulates";
	vendor(cpu);
	if (!strcmp(cpu, "GenuineIntel"))
		return is_on("/sys/module/kvm_intel/parameters/unrestricted_guest")
			       ? NULL
			       : "kvm_intel without unrestricted guest mode emulates";
	if (!strcmp(cpu, "AuthenticAMD") || !strcmp(cpu, "HygonGenuine"))
		return is_on("/sys/module/kvm_amd/parameters/npt")
			       ? NULL
			       : "kvm_amd without nested paging emulates";
	return "this host's CPU is neither Intel's nor AMD's";
}

/* Since 5.11 each core that is interrupted executes a serializing instruction by itself. */
static bool is_old_kernel(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	return uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2 || major < 5 ||
	       (major == 5 && minor < 11);
}

/* Does /proc/cpuinfo name this flag? Also true if that cannot be told. */
static bool has_flag(const char *flag)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char *line = NULL, *word, *rest;
	bool there = true;
	size_t room = 0;

	while (f && there && getline(&line, &room, f) > 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		there = false;
		for (word = strtok_r(line, " \t\n", &rest); word && !there;
		     word = strtok_r(NULL, " \t\n", &rest))
			there = !strcmp(word, flag);
		break;
	}
	free(line);
	if (f)
		fclose(f);
	return there;
}

/* PTI may have been switched on for a CPU that does not need it: sysfs does not say so then. */
static const char *who_skips_cores(void)
{
	char text[64];

	if (is_old_kernel())
		return "membarrier does not serialize cores for certain before Linux 5.11";
	read_text("/sys/devices/system/cpu/vulnerabilities/meltdown", text);
	if (!text[0] || strstr(text, "PTI") || has_flag("pti"))
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

#define MAX_LEAVES 256
#define CPUID_VMX  (1u << 5) /* leaf 1, ECX */
#define CPUID_SVM  (1u << 2) /* leaf 0x80000001, ECX */

static bool may_run_guests(const struct kvm_cpuid_entry2 *e)
{
	return (e->function == 1 && e->ecx & CPUID_VMX) ||
	       (e->function == 0x80000001 && e->ecx & CPUID_SVM);
}

void vp_local_look_at_cpu(struct vp_local_vcpu *v)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_LEAVES * sizeof(cpuid->entries[0]));
	bool may = true;

	if (cpuid) {
		cpuid->nent = MAX_LEAVES;
		may = ioctl(v->fd, KVM_GET_CPUID2, cpuid) < 0;
		for (unsigned int i = 0; !may && i < MAX_LEAVES && i < cpuid->nent; i++)
			may = may_run_guests(&cpuid->entries[i]);
	}
	free(cpuid);
	if (may)
		atomic_store(&v->l->emulates, true);
	atomic_store(&v->alone, !may);
	atomic_store(&v->known, true);
}
