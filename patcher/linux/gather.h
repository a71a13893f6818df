/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many small pieces of the kernel's memory, read together: their places are found while the guest
 * runs, and in a stop they are one read of the target, which knows what many pieces cost it.
 */
#ifndef VP_LINUX_GATHER_H
#define VP_LINUX_GATHER_H

#include "linux/internal.h"

/* No more is read at once, whatever the guest says. */
#define VP_GATHER_MAX ((size_t)64 << 20)

struct vp_gather_piece {
	uint64_t addr, gpa;
	uint32_t len;
	size_t at; /* in the bytes */
};

struct vp_gather_run {
	uint64_t gpa;
	size_t len, at;
};

struct vp_gather {
	struct vp_gather_piece *pieces; /* by address, once it is planned */
	size_t n, cap;
	struct vp_gather_run *runs;
	struct vp_piece *reads; /* the same, for the target */
	size_t nruns;
	uint8_t *bytes;
	size_t size;
	bool lossy; /* what is in no RAM is left out; false: it is an error */
};

/* Add the memory at @addr. It may be added twice. -EFAULT: not all is mapped. -ENOMEM. */
int vp_gather_add(struct vp_gather *g, const struct vp_linux *l, uint64_t addr, size_t len,
		  struct vp_err *err);

/* No more is added: plan the reads. -E2BIG, -ENOMEM. */
int vp_gather_plan(struct vp_gather *g, struct vp_err *err);

/* Read all of it, as often as is wanted. As the target's read(). */
int vp_gather_read(struct vp_gather *g, const struct vp_linux *l, struct vp_err *err);

/* A copy of what was read last at @addr. False: not all of it was added. */
bool vp_gather_get(const struct vp_gather *g, uint64_t addr, void *buf, size_t len);

void vp_gather_free(struct vp_gather *g);

#endif /* VP_LINUX_GATHER_H */
