/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hotfixes that are in a guest, by its memory alone: labels at the start of a page of code that is
 * of neither the kernel's image nor a module. No ledger is asked. What they say is what the guest's
 * memory says, never a proof (label.h).
 */
#ifndef VP_HOTFIX_FOUND_H
#define VP_HOTFIX_FOUND_H

#include <vmpoke/linux.h>

#include "hotfix/label.h"

enum vp_hotfix_stands {
	VP_HOTFIX_APPLIED, /* every site leads to it, or to a hotfix over it that does */
	VP_HOTFIX_UNUSED,  /* its memory is there, no site leads to it: apply or remove was cut off,
			      or it waits to be freed */
	VP_HOTFIX_MIXED,   /* some do */
};

/* "applied", ... */
const char *vp_hotfix_stands_name(enum vp_hotfix_stands s);

/* Where the entry of one of its functions leads now. */
enum vp_hotfix_leads {
	VP_LEADS_HERE,	  /* to the replacement */
	VP_LEADS_OVER,	  /* to a newer hotfix, below which this one is */
	VP_LEADS_BEFORE,  /* nowhere: the bytes stand there that were there before */
	VP_LEADS_OTHER,	  /* something else stands there */
	VP_LEADS_UNKNOWN, /* it cannot be read: its module was unloaded */
};

/* "here", "over", ... */
const char *vp_hotfix_leads_name(enum vp_hotfix_leads leads);

struct vp_hotfix_entry {
	enum vp_hotfix_leads leads;
	const struct vp_hotfix_label *over; /* the newest of those over it; NULL: none is */
	uint8_t now[5];			    /* what stands at the site; zeroes: unknown */
};

struct vp_hotfix_found {
	struct vp_hotfix_label *label;
	enum vp_hotfix_stands stands;
	bool whole;			 /* its code is what the label says */
	bool covered;			 /* a site is covered by a newer one */
	vp_gva at;			 /* of the label */
	struct vp_hotfix_entry *entries; /* as many as the label has functions */
};

/* Do these 5 bytes, at the site of @f, jump to its replacement? */
bool vp_hotfix_leads_to(const uint8_t *bytes, const struct vp_hotfix_label_function *f);

/* More of them are no matter of ours. */
#define VP_HOTFIX_FOUND_MAX 256u

/*
 * All of them, oldest first, to be freed. The guest may run; the modules are those that @l knows
 * (vp_linux_refresh()).
 *  -E2BIG   more of them, or more code outside of modules, than can be looked at
 *  -ENOMEM, or as the target's operations
 */
int vp_hotfix_find(struct vp_linux *l, struct vp_hotfix_found **out, size_t *n, struct vp_err *err);
void vp_hotfix_found_free(struct vp_hotfix_found *list, size_t n);

/*
 * The same, and where something begins like a label that cannot be read: @damaged (for free(); may
 * be NULL with @ndamaged).
 */
int vp_hotfix_look(struct vp_linux *l, struct vp_hotfix_found **out, size_t *n, vp_gva **damaged,
		   size_t *ndamaged, struct vp_err *err);

#endif /* VP_HOTFIX_FOUND_H */
