/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/conditions.h"

#include <errno.h>
#include <stdlib.h>

int vp_word_list_add(struct vp_word_list *list, struct vp_word word, struct vp_err *err)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct vp_word *w = &list->words[i];

		if (w->addr.v != word.addr.v)
			continue;
		if (w->old_value == word.old_value && w->new_value == word.new_value)
			return 0;
		return vp_err_set(err, -EBADMSG, "the word at 0x%llx would have to change twice",
				  (unsigned long long)word.addr.v);
	}
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		void *p = reallocarray(list->words, cap, sizeof(*list->words));

		if (!p)
			return vp_err_set(err, -ENOMEM, "out of memory for the words of a batch");
		list->words = p;
		list->cap = cap;
	}
	list->words[list->n++] = word;
	return 0;
}

int vp_word_list_require(struct vp_word_list *list, vp_gva addr, uint64_t value, struct vp_err *err)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);
	int rc = vp_word_list_add(list, (struct vp_word){ addr, low, low }, err);

	return rc ? rc
		  : vp_word_list_add(list, (struct vp_word){ VP_GVA(addr.v + 4), high, high }, err);
}

/*
 * struct mutex begins with its owner; with PREEMPT_RT it is a struct rt_mutex_base: a spinlock, a
 * tree of waiters, then the owner (include/linux/mutex.h, rtmutex.h).
 */
static uint64_t owner_offset(const struct vp_linux *l)
{
	return strstr(l->banner, " PREEMPT_RT") ? 24 : 0;
}

int vp_lock_require(const struct vp_linux *l, const char *name, struct vp_word_list *list,
		    struct vp_err *err)
{
	uint64_t owner = 0;
	vp_gva at;
	int rc;

	if (!vp_linux_find(l, name, &at))
		return vp_err_set(err, -ENOENT,
				  "the kernel's symbols do not tell where %s is: whether the guest "
				  "patches itself cannot be known",
				  name);
	at.v += owner_offset(l);
	rc = vp_kernel_mem_read(&l->mem, at, &owner, sizeof(owner), err);
	if (!rc && owner)
		rc = vp_err_set(err, -EAGAIN,
				"the guest holds %s: it is patching itself; try again", name);
	return rc ? rc : vp_word_list_require(list, at, 0, err);
}
