/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's KVM can do. */
#ifndef VP_VMM_PROBE_H
#define VP_VMM_PROBE_H

#include "target/local_probe.h"

struct vp_probe {
	int api_version;
	unsigned int max_vcpus;
	bool immediate_exit, guest_debug, irqchip; /* capabilities of KVM we use */
	struct vp_local_found int3;
	char module[32]; /* "kvm_intel", "kvm_amd", "kvm_pvm", "unknown": who implements /dev/kvm */
};

/* Open KVM; the text says why not and what to do. Returns the fd or -ENOENT, -EACCES, -ENODEV, -EIO
 * ... */
int vp_kvm_open(const char *path, struct vp_err *err);

/* Probe the KVM at @kvm_fd. Takes some milliseconds. */
int vp_probe_kvm(int kvm_fd, struct vp_probe *out, struct vp_err *err);

#endif /* VP_VMM_PROBE_H */
