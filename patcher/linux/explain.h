/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that is not as it was: is it a place that the guest itself rewrites, by the guest's own
 * tables, and does one of the forms stand there that it may write? All tables are read once; they
 * are those of a moment.
 */
#ifndef VP_LINUX_EXPLAIN_H
#define VP_LINUX_EXPLAIN_H

#include "linux/internal.h"

enum vp_why {
	VP_WHY_KEY,    /* static key: nop or jmp, as the key's count says */
	VP_WHY_CALL,   /* static call: to what the key's pointer says */
	VP_WHY_FTRACE, /* a nop, or a call where the record says that somebody is attached */
	VP_WHY_PROBE,  /* kprobe: an int3, or a jmp into code that the guest has made */
	VP_WHY_LOCK,   /* a lock prefix, which is for several CPUs */
	VP_WHY_COUNT,
};

/* "static-keys", ... */
const char *vp_why_name(enum vp_why why);

struct vp_explain;

/*
 * Nothing of @l may be refreshed while it is used.
 *  -EOPNOTSUPP  this kernel's tables are not all known
 *  -EAGAIN, -EBADMSG  they make no sense, or change
 */
int vp_explain_new(struct vp_linux *l, struct vp_explain **out, struct vp_err *err);
void vp_explain_free(struct vp_explain *x);

/*
 * The byte at @addr, where @now (of its surroundings; base is set) holds what stands there. 1: it
 * belongs to the guest's own place [*@start, *@end), and what stands there is right. 0: it does
 * not; @what (of VP_EXPLAIN_MAX bytes) says whose place it is all the same, or is empty. -errno: it
 * could not be read.
 */
#define VP_EXPLAIN_MAX 160u
int vp_explain_at(struct vp_explain *x, uint64_t addr, const struct vp_blob *now, enum vp_why *why,
		  uint64_t *start, uint64_t *end, char *what, struct vp_err *err);

/* Call @fn for the place of each kprobe that stands now: what was there before is not told. */
void vp_explain_probes(const struct vp_explain *x,
		       void (*fn)(void *arg, uint64_t addr, uint32_t len), void *arg);

/* Bytes of code that is neither the image's nor a module's: nobody can say what it should be. */
uint64_t vp_explain_made(const struct vp_explain *x);

#endif /* VP_LINUX_EXPLAIN_H */
