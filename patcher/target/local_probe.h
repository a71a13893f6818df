/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a guest's int3 on this host, in full: vp_local_probe() tells what follows. */
#ifndef VP_TARGET_LOCAL_PROBE_H
#define VP_TARGET_LOCAL_PROBE_H

#include <vmpoke/local.h>

struct vp_local_found {
	enum vp_trap_route route; /* by which exit it comes */
	bool rerun_ok;		  /* after the exit the guest can run again at the same place */
	bool inject_ok; /* a reinjected #BP reached the guest's handler with the right RIP */
};

/* As vp_local_probe(). */
int vp_local_look(int kvm_fd, struct vp_local_found *out, struct vp_err *err);

/* The route that int3 batches may use. */
enum vp_trap_route vp_local_route(const struct vp_local_found *found);

#endif /* VP_TARGET_LOCAL_PROBE_H */
