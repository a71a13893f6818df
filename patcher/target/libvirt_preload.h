/* SPDX-License-Identifier: Apache-2.0 */
/* Is a domain of libvirt started with the preload library (docs/preload.md)? Its XML says so. */
#ifndef VP_TARGET_LIBVIRT_PRELOAD_H
#define VP_TARGET_LIBVIRT_PRELOAD_H

#include <vmpoke/types.h>

struct vp_libvirt_preload {
	char uuid[40];
	bool runs;
	char preloaded[256]; /* $LD_PRELOAD of its QEMU; "": none is set */
	char socket[256];    /* $VMPOKE_SOCKET, likewise */
};

/*
 * Of domain @name (or its UUID) at @uri (NULL: the default). -ENOENT: there is no such domain;
 * others as vp_qemu_list().
 */
int vp_libvirt_preload(const char *uri, const char *name, unsigned int timeout_ms,
		       struct vp_libvirt_preload *out, struct vp_err *err);

#endif /* VP_TARGET_LIBVIRT_PRELOAD_H */
