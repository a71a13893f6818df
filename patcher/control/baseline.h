/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's read-only memory was when it was first seen in this boot: the bytes themselves,
 * compressed, in a file beside the ledger (IDENTITY.baseline.gz, docs/verify.md).
 */
#ifndef VP_CONTROL_BASELINE_H
#define VP_CONTROL_BASELINE_H

#include <vmpoke/types.h>

#define VP_BASELINE_MAX	    ((uint64_t)512 << 20) /* bytes of all regions */
#define VP_BASELINE_REGIONS 65536u

struct vp_baseline_region {
	char name[80]; /* "text", "rodata", or the module's name */
	uint64_t addr, len;
	uint64_t module; /* where its struct module is; 0: of the image */
	int64_t when;	 /* it was first seen: seconds since 1970 */
	uint8_t *bytes;	 /* owned */
};

/* Bytes of which it is not known what they should be: somebody had changed them already. */
struct vp_baseline_hole {
	uint64_t addr, len;
};

struct vp_baseline {
	uint64_t boot;
	char build_id[80];
	struct vp_baseline_region *regions;
	size_t nregions;
	struct vp_baseline_hole *holes;
	size_t nholes;
};

/*
 * -ENOENT: there is none. -EBADMSG: it is damaged. -ENOMEM, -EIO. Whatever it returns, @out is to
 * be cleared.
 */
int vp_baseline_read(const char *path, struct vp_baseline *out, struct vp_err *err);

/* Replaces the file at once, when all of it is on the disk. -errno. */
int vp_baseline_write(const char *path, const struct vp_baseline *b, struct vp_err *err);

/* The same region, of the same module. NULL: not there. */
const struct vp_baseline_region *vp_baseline_find(const struct vp_baseline *b,
						  const struct vp_baseline_region *like);

/* Add an empty one; NULL: -ENOMEM. */
struct vp_baseline_region *vp_baseline_add(struct vp_baseline *b);
int vp_baseline_add_hole(struct vp_baseline *b, uint64_t addr, uint64_t len);
bool vp_baseline_in_hole(const struct vp_baseline *b, uint64_t addr);

void vp_baseline_clear(struct vp_baseline *b);

#endif /* VP_CONTROL_BASELINE_H */
