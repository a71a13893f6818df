/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the place of libvirt in the vmpoke of the rigs: there is none on their hosts, and its sixty
 * libraries would take most of the time there to load.
 */
#include <errno.h>

#include <vmpoke/qemu.h>

#include "target/libvirt_preload.h"

int vp_qemu_open_libvirt(const char *uri, const char *domain, const struct vp_qemu_config *cfg,
			 struct vp_qemu **out, struct vp_err *err)
{
	(void)uri, (void)domain, (void)cfg, (void)out;
	return vp_err_set(err, -EOPNOTSUPP, "this vmpoke was built without libvirt");
}

int vp_qemu_list(const char *uri, unsigned int timeout_ms,
		 int (*fn)(void *arg, const struct vp_qemu_domain *domain), void *arg,
		 struct vp_err *err)
{
	(void)uri, (void)timeout_ms, (void)fn, (void)arg;
	return vp_err_set(err, -EOPNOTSUPP, "this vmpoke was built without libvirt");
}

int vp_libvirt_preload(const char *uri, const char *name, unsigned int timeout_ms,
		       struct vp_libvirt_preload *out, struct vp_err *err)
{
	(void)uri, (void)name, (void)timeout_ms, (void)out;
	return vp_err_set(err, -EOPNOTSUPP, "this vmpoke was built without libvirt");
}
