/* SPDX-License-Identifier: Apache-2.0 */
/* What libvirt tells without asking QEMU: its domains, their pinning. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/libvirt_job.h"

/* "0-3,6": the CPUs of one map. */
static void cpu_list(const uint8_t *map, int cpus, char *out, size_t size)
{
	size_t used = 0;

	for (int c = 0; c < cpus && used < size; c++) {
		int first = c;

		if (!VIR_CPU_USED(map, c))
			continue;
		while (c + 1 < cpus && VIR_CPU_USED(map, c + 1))
			c++;
		used += (size_t)snprintf(out + used, size - used, c > first ? "%s%d-%d" : "%s%d",
					 used ? "," : "", first, c);
	}
}

int vp_libvirt_pinning(struct vp_libvirt_job *j)
{
	int cpus = virNodeGetCPUMap(virDomainGetConnect(j->dom), NULL, NULL, 0);
	int maplen = VIR_CPU_MAPLEN(cpus > 0 ? cpus : 0);
	size_t used = 0, size = sizeof(((struct vp_qemu_info *)NULL)->pinning);

	if (cpus <= 0)
		return vp_libvirt_refused(j, "does not tell the host's CPUs");
	j->bytes = calloc(VP_VCPU_MAX, (size_t)maplen);
	j->reply = calloc(1, size);
	if (!j->bytes || !j->reply)
		return -ENOMEM;
	j->vcpus = virDomainGetVcpuPinInfo(j->dom, VP_VCPU_MAX, j->bytes, maplen, 0);
	for (int v = 0; v < j->vcpus && used < size; v++) { /* cut short if need be */
		char list[64] = "";

		cpu_list(j->bytes + v * maplen, cpus, list, sizeof(list));
		used += (size_t)snprintf(j->reply + used, size - used, "%s%d:%s", v ? " " : "", v,
					 list);
	}
	return 0;
}

static int add_domain(struct vp_libvirt_job *j, virDomainPtr dom)
{
	struct vp_qemu_domain *d = &j->list[j->n];
	virDomainInfo info;

	/* It may vanish while we look: then it is not in the list. */
	if (virDomainGetInfo(dom, &info) < 0 || virDomainGetUUIDString(dom, d->uuid) < 0)
		return 0;
	d->name = strdup(virDomainGetName(dom));
	if (!d->name)
		return -ENOMEM;
	d->state = vp_libvirt_state(info.state);
	snprintf(d->state_text, sizeof(d->state_text), "%s", vp_libvirt_state_name(info.state));
	d->vcpus = info.nrVirtCpu;
	j->n++;
	return 0;
}

static int run_list(struct vp_libvirt_job *j)
{
	virDomainPtr *domains = NULL;
	int n, rc = vp_libvirt_connect(j);

	if (rc)
		return rc;
	n = virConnectListAllDomains(j->conn, &domains, 0);
	if (n < 0)
		return vp_libvirt_refused(j, "does not list its domains");
	j->list = calloc((size_t)n + 1, sizeof(*j->list));
	rc = j->list ? 0 : -ENOMEM;
	for (int i = 0; i < n; i++) {
		if (!rc)
			rc = add_domain(j, domains[i]);
		virDomainFree(domains[i]);
	}
	free(domains);
	return rc;
}

int vp_qemu_list(const char *uri, unsigned int timeout_ms,
		 int (*fn)(void *arg, const struct vp_qemu_domain *domain), void *arg,
		 struct vp_err *err)
{
	struct vp_libvirt_job *j = vp_libvirt_new("list its domains", run_list, uri);
	int rc = vp_libvirt_do(j, timeout_ms ? timeout_ms : VP_TIMEOUT_MS, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < j->n && !rc; i++)
		rc = fn(arg, &j->list[i]);
	vp_libvirt_free(j);
	return rc;
}
