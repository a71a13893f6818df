/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hotfix's bytes for memory that was got for them: the label, the code linked for there, its
 * data; and their way into the guest. Nobody in the guest knows of them yet.
 */
#ifndef VP_HOTFIX_PLACE_H
#define VP_HOTFIX_PLACE_H

#include <vmpoke/target.h>

#include "base/sha256.h"
#include "hotfix/arena.h"
#include "hotfix/fit.h"
#include "hotfix/label.h"

/* What will be overwritten at the entry of a function, and who is told. */
struct vp_hotfix_before {
	vp_gva site;
	vp_gva record; /* as in the label */
	uint8_t bytes[5];
};

/* What is known beforehand. All is borrowed. */
struct vp_hotfix_plan {
	const struct vp_hotfix_fit *fit;
	const struct vp_hotfix_before *before; /* as many as fit->about->nfunctions */
	uint8_t object[VP_SHA256_SIZE];	       /* digest of the object's file */
	const char *who;
	int64_t when;
};

struct vp_hotfix_placing;

/* @plan must outlive @out. -ENOMEM. vp_hotfix_placing_free(NULL) is fine. */
int vp_hotfix_placing_new(const struct vp_hotfix_plan *plan, struct vp_hotfix_placing **out,
			  struct vp_err *err);
void vp_hotfix_placing_free(struct vp_hotfix_placing *p);

/* How much of each kind it needs, in bytes. */
void vp_hotfix_placing_sizes(const struct vp_hotfix_placing *p, uint64_t size[VP_ARENA_KINDS]);

/* Link it for there. -ENOEXEC: see @blockers and @err. */
int vp_hotfix_placing_link(struct vp_hotfix_placing *p, const struct vp_arena *arena,
			   struct vp_blockers *blockers, struct vp_err *err);

/* What was linked: redirects and calls. */
const struct vp_hotfix_image *vp_hotfix_placing_image(const struct vp_hotfix_placing *p);

/*
 * Locked, and not between stop() and resume(). Write all of it in one stop, the label last, and see
 * that it arrived. @space: the kernel's paging. -EIO: other bytes stand there than were written;
 * -ENXIO: the guest was reset since, and the memory is not its own any more; else as the target's
 * operations.
 */
int vp_hotfix_placing_write(const struct vp_hotfix_placing *p, struct vp_target *t,
			    const struct vp_paging *space, struct vp_err *err);

#endif /* VP_HOTFIX_PLACE_H */
