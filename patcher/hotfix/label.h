/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label of an applied hotfix: it lies in the guest's memory, at the first byte of the hotfix's
 * text area, and says what was put there, so that it is known without any ledger: after a
 * migration, a restore, the loss of the host's disk. A redirected function leads to it: the target
 * of its jump lies in the area, and the label at the start of a page before.
 *
 * The guest may have written anything there: what is read is bounded, and damage is seen. A guest
 * that wants to lie can: a label is what the guest's memory says, never a proof.
 *
 * All numbers are of 64 bits and little endian:
 *
 *	"VMPOKE\0\1"	and the label's length in bytes; FNV-1a of all that follows here
 *	when		seconds since 1970
 *	areas		start and size of text (the label included), read-only data, data
 *	code		FNV-1a of the text area from the label's last byte to the area's end, and of
 *			the whole area of read-only data
 *	object		32 bytes: digest of the object's file
 *	n, m		how many functions and calls
 *	functions	old, site, replacement, record, before; each with its name below
 *	calls		when (enum vmpoke_when), at
 *	texts		ended by NULs: name, version, description, who, then the functions' names
 */
#ifndef VP_HOTFIX_LABEL_H
#define VP_HOTFIX_LABEL_H

#include <vmpoke/hotfix.h>
#include <vmpoke/types.h>

#include "hotfix/link.h"

#define VP_LABEL_WHO_MAX 127u
#define VP_LABEL_MAX	 (192u << 10) /* bytes: as many functions as there may be, with long names */
#define VP_LABEL_HEAD	 24u	      /* bytes that tell how long it is */

/* One function that is redirected. */
struct vp_hotfix_label_function {
	const char *name;
	vp_gva old;	    /* the function's first byte */
	vp_gva site;	    /* of the jump */
	vp_gva replacement; /* in the text area */
	vp_gva record;	    /* of ftrace, whose flags were changed; 0: none */
	uint8_t before[8];  /* the 5 bytes that stood at the site, then zeroes */
};

/* A function of the guest that is to be called when the hotfix is removed, in this order. */
struct vp_hotfix_label_call {
	enum vmpoke_when when; /* VMPOKE_WHEN_BEFORE_REMOVE, VMPOKE_WHEN_AFTER_REMOVE */
	vp_gva at;
};

struct vp_hotfix_label {
	const char *name, *version, *description;
	const char *who; /* user and host that applied it */
	int64_t when;
	struct {
		vp_gva at; /* 0: none */
		uint64_t size;
	} areas[VP_AREA_COUNT];
	uint64_t code;
	uint8_t object[32];
	const struct vp_hotfix_label_function *functions;
	size_t nfunctions;
	const struct vp_hotfix_label_call *calls;
	size_t ncalls;
};

/* Its length in bytes. */
size_t vp_hotfix_label_size(const struct vp_hotfix_label *label);

/*
 * Write it into @out, of vp_hotfix_label_size() bytes. -EINVAL: what vp_hotfix_label_read() would
 * refuse, and why.
 */
int vp_hotfix_label_write(const struct vp_hotfix_label *label, uint8_t *out, struct vp_err *err);

/*
 * Does a label begin with these VP_LABEL_HEAD bytes? Its length then, which is VP_LABEL_MAX at
 * most; 0: none does.
 */
size_t vp_hotfix_label_length(const uint8_t head[VP_LABEL_HEAD]);

/*
 * Read the label of @len bytes that stands at @at. @out and its texts are one piece, for free().
 * -ENOENT: none is there; -EBADMSG: it is damaged, or makes no sense; -ENOMEM.
 */
int vp_hotfix_label_read(const uint8_t *bytes, size_t len, vp_gva at, struct vp_hotfix_label **out,
			 struct vp_err *err);

#endif /* VP_HOTFIX_LABEL_H */
