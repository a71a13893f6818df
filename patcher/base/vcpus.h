/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPUs of a target, one after the other. */
#ifndef VP_BASE_VCPUS_H
#define VP_BASE_VCPUS_H

#include <vmpoke/target.h>

/*
 * Call @fn for each vCPU of @t, which is locked, in the order of their numbers and while the vCPU
 * is held, until it returns non-zero; return that. Else 0, or as hold(), and then @err says why.
 */
int vp_each_vcpu(struct vp_target *t,
		 int (*fn)(void *arg, int vcpu, const struct vp_vcpu_state *state), void *arg,
		 struct vp_err *err);

#endif /* VP_BASE_VCPUS_H */
