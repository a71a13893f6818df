/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's KVM can do. */
#include "vmm/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int vp_kvm_open(const char *path, struct vp_err *err)
{
	const char *dev = path ? path : "/dev/kvm";
	int fd = open(dev, O_RDWR | O_CLOEXEC), version, rc;

	if (fd < 0) {
		rc = -errno;
		if (rc == -ENOENT)
			return vp_err_set(
				err, rc,
				"%s is missing: load kvm-intel or kvm-amd (modprobe), enable "
				"virtualization "
				"in the firmware, or nested virtualization if this is a VM",
				dev);
		if (rc == -EACCES || rc == -EPERM)
			return vp_err_set(
				err, rc,
				"no permission on %s: join the group kvm (usermod -aG kvm "
				"USER, log in again) or run as root",
				dev);
		if (rc == -ENODEV || rc == -ENXIO)
			return vp_err_set(err, rc,
					  "%s has no driver behind it: load kvm-intel or kvm-amd",
					  dev);
		return vp_err_set(err, rc, "cannot open %s: %s", dev, strerror(-rc));
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version == KVM_API_VERSION)
		return fd;
	close(fd);
	if (version < 0)
		return vp_err_set(err, -ENODEV, "%s is not KVM: give the path of /dev/kvm", dev);
	return vp_err_set(err, -EIO, "%s speaks KVM API %d, not %d: update the kernel", dev,
			  version, KVM_API_VERSION);
}

static void probe_module(struct vp_probe *p)
{
	static const char *const names[] = { "kvm_intel", "kvm_amd", "kvm_pvm" };
	char path[64];
	size_t i;

	snprintf(p->module, sizeof(p->module), "unknown");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s", names[i]);
		if (!access(path, F_OK))
			snprintf(p->module, sizeof(p->module), "%s", names[i]);
	}
}

int vp_probe_kvm(int kvm_fd, struct vp_probe *out, struct vp_err *err)
{
	int rc;

	*out = (struct vp_probe){ .api_version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0) };
	rc = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	out->max_vcpus = rc > 0 ? (unsigned int)rc : 4; /* KVM api.rst, 4.7 */
	out->immediate_exit = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0;
	out->guest_debug = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) > 0;
	out->irqchip = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0 &&
		       ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_PIT2) > 0;
	probe_module(out);
	return vp_local_look(kvm_fd, &out->int3, err);
}
