/* SPDX-License-Identifier: Apache-2.0 */
/* A domain of libvirt whose QEMU has the preload library: its own socket is the better way to it.
 */
#ifndef VP_CLI_PRELOAD_H
#define VP_CLI_PRELOAD_H

#include "target/libvirt_preload.h"

#define VP_PRELOAD_LIBRARY "libvmpoke-kvm.so"

struct vp_preload_domain {
	struct vp_libvirt_preload it;
	bool has_library;
	char socket[256]; /* of the library; "": there is none */
};

/* What libvirt knows of it. 1: @target is none of libvirt's. -errno as vp_libvirt_preload(). */
int vp_preload_look(const char *target, unsigned int timeout_ms, struct vp_preload_domain *d,
		    struct vp_err *err);

#endif /* VP_CLI_PRELOAD_H */
