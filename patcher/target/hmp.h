/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU's human monitor prints, read back. It is text for people, and no QMP command tells
 * the same; so everything that does not look as expected is an error. Leaf and pure.
 */
#ifndef VP_TARGET_HMP_H
#define VP_TARGET_HMP_H

#include <vmpoke/types.h>

/* The first line of @text that is not empty, blanks around it dropped; all but printable ASCII '?'.
 */
void vp_hmp_line(const char *text, char *out, size_t size);

/* `info status`: true if it runs; @why gets "running", "paused", "paused (io-error)", ... */
int vp_hmp_status(const char *text, bool *running, char *why, size_t size, struct vp_err *err);

/* `info migrate`: is a migration or snapshot under way? */
bool vp_hmp_migrating(const char *text);

/* `info version`: 702 for 7.2.x. 0: it is not a version. */
unsigned int vp_hmp_version(const char *text);

/* `info registers -a`: how many vCPUs it shows; and the registers of one. -ENOENT, -EPROTO. */
unsigned int vp_hmp_vcpus(const char *text);
int vp_hmp_registers(const char *text, unsigned int vcpu, struct vp_vcpu_state *state,
		     struct vp_err *err);

/* `info mtree -f`: the ranges of RAM that the CPUs see, ascending, adjacent ones joined. */
struct vp_hmp_range {
	uint64_t start, len;
};
#define VP_HMP_RANGES 256
int vp_hmp_ram(const char *text, struct vp_hmp_range *ranges, size_t *n, struct vp_err *err);

#endif /* VP_TARGET_HMP_H */
