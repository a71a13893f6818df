/* SPDX-License-Identifier: Apache-2.0 */
/* What CPU a guest sees: what KVM can do, less what does not work here, each vCPU a package of its
 * own. */
#include "vmm/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define ENTRIES 256u

/* CPUID.1 (SDM vol. 2, CPUID) */
#define ECX_VMX		 (1u << 5)
#define ECX_CX16	 (1u << 13)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_HYPERVISOR	 (1u << 31)
#define EDX_HTT		 (1u << 28)
/* CPUID.80000001 (APM vol. 3, appendix E) */
#define ECX_CMP_LEGACY (1u << 1)
#define ECX_SVM	       (1u << 2)

static void fix_features(struct kvm_cpuid_entry2 *e, unsigned int id, const struct vp_cpu *cpu)
{
	/* Initial APIC id; one logical processor a package; CLFLUSH size and brand stay. */
	e->ebx = (e->ebx & 0xffff) | 1u << 16 | id << 24;
	e->edx &= ~EDX_HTT;
	/* A guest of the guest would have registers that nobody expects who holds a vCPU. */
	e->ecx &= ~ECX_VMX;
	e->ecx |= ECX_HYPERVISOR;
	if (cpu->tsc_deadline)
		e->ecx |= ECX_TSC_DEADLINE;
	if (cpu->no_cx16)
		e->ecx &= ~ECX_CX16;
}

void vp_cpuid_fix(struct kvm_cpuid2 *cpuid, unsigned int id, const struct vp_cpu *cpu)
{
	uint32_t i;

	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		switch (e->function) {
		case 0x1:
			fix_features(e, id, cpu);
			break;
		case 0x4: /* caches: nobody shares one; one core */
			e->eax &= 0x3fff;
			break;
		case 0xb: /* topology: no level but the x2APIC id */
		case 0x1f:
			e->eax = e->ebx = 0;
			e->ecx &= 0xff;
			e->edx = id;
			break;
		case 0x80000001:
			e->ecx &= ~(ECX_SVM | ECX_CMP_LEGACY);
			break;
		case 0x80000008: /* one core */
			e->ecx = 0;
			break;
		case 0x8000001d:
			e->eax &= 0x3fff;
			break;
		case 0x8000001e:
			e->eax = id;
			e->ebx = id & 0xff;
			e->ecx = 0;
			break;
		}
	}
}

static int failed(struct vp_err *err, unsigned int id, const char *what)
{
	int rc = -errno;

	return vp_err_set(err, rc, "vCPU %u: %s: %s", id, what, strerror(-rc));
}

int vp_cpuid_set(int kvm_fd, int fd, unsigned int id, const struct vp_cpu *cpu, struct vp_err *err)
{
	struct kvm_cpuid2 *cpuid;
	int rc = 0;

	cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return vp_err_set(err, -ENOMEM, "vCPU %u: out of memory", id);
	cpuid->nent = ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
		rc = failed(err, id, "KVM_GET_SUPPORTED_CPUID");
	} else {
		vp_cpuid_fix(cpuid, id, cpu);
		if (ioctl(fd, KVM_SET_CPUID2, cpuid))
			rc = failed(err, id, "KVM_SET_CPUID2");
	}
	free(cpuid);
	return rc;
}
