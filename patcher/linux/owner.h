/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else writes into the kernel's text, asked before a poke: static keys, static calls, kprobes,
 * ftrace. What is asked for one batch is read once.
 *
 * Of those that answer for a site: 0: not mine. -EBUSY: mine, and @err says whose, without the
 * site. -EAGAIN: that cannot be told at the moment. -EOPNOTSUPP: nor at any other.
 */
#ifndef VP_LINUX_OWNER_H
#define VP_LINUX_OWNER_H

#include "linux/conditions.h"
#include "linux/internal.h"

/* A stretch of text that somebody writes, and of whom: a key, ... */
struct vp_span {
	uint64_t start, who;
	uint32_t len;
};

struct vp_spans {
	struct vp_span *s;
	size_t n, cap;
};

/* struct ftrace_page: records, sorted by address. */
struct vp_ftrace_page {
	uint64_t records, first, last; /* first, last: the addresses of the outermost */
	uint32_t n;
};

struct vp_owners {
	struct vp_linux *l;
	struct vp_spans calls, probes;
	struct vp_ftrace_page *pages;
	size_t npages;
	struct vp_word_list words; /* of the batch */
	bool stop;		   /* they want every vCPU held */
	bool force;		   /* what ftrace is in use for is not waited for */
	bool back;		   /* where its nop is put back, ftrace gets it back */
};

bool vp_span_meets(uint64_t start, uint64_t len, const struct vp_site *s);
int vp_spans_add(struct vp_spans *list, uint64_t start, uint32_t len, uint64_t who,
		 struct vp_err *err);
const struct vp_span *vp_spans_find(const struct vp_spans *list, const struct vp_site *s);

/* The name of an address as text, or the address itself. */
const char *vp_owner_name(const struct vp_linux *l, uint64_t addr, char *text, size_t size);

#endif /* VP_LINUX_OWNER_H */
