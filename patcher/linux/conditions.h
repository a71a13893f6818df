/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold in the guest at the moment of a write, as words of a batch (vmpoke/poke.h): that
 * the locks are free under which the guest patches itself.
 */
#ifndef VP_LINUX_CONDITIONS_H
#define VP_LINUX_CONDITIONS_H

#include "linux/internal.h"

/* Words of a batch; grown as need be, @words to be free()d. No two of them are at one place. */
struct vp_word_list {
	struct vp_word *words;
	size_t n, cap;
};

/* -ENOMEM. -EBADMSG: the same word is to have other values already. */
int vp_word_list_add(struct vp_word_list *list, struct vp_word word, struct vp_err *err);

/* The 64-bit variable at @addr must hold @value: two words. */
int vp_word_list_require(struct vp_word_list *list, vp_gva addr, uint64_t value,
			 struct vp_err *err);

/*
 * Nobody may hold the mutex @name. -EAGAIN: somebody does at this moment. -ENOENT: the kernel's
 * symbols do not tell where it is.
 */
int vp_lock_require(const struct vp_linux *l, const char *name, struct vp_word_list *list,
		    struct vp_err *err);

#endif /* VP_LINUX_CONDITIONS_H */
