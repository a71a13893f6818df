/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's list of livepatches (kernel/livepatch/core.c): klp_patches has struct klp_patch,
 * each with its klp_objects, each with its klp_funcs.
 */
#include "linux/livepatch.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "linux/internal.h"

#define PATCHES_MAX 64u	  /* in a list */
#define FUNCS_MAX   4096u /* of all */
#define PIECE	    64u	  /* of a text */

struct walk {
	struct vp_linux *l;
	const struct vp_klp_layout *y;
	int (*fn)(void *arg, const struct vp_klp_function *function);
	void *arg;
	struct vp_klp_function f;
	unsigned int funcs;
};

const struct vp_klp_layout *vp_linux_klp_layout(const struct vp_linux *l)
{
	return &l->klp_at;
}

static int read_word(const struct walk *w, uint64_t at, uint64_t *out)
{
	return at >> 63 ? vp_kernel_mem_read(&w->l->mem, VP_GVA(at), out, sizeof(*out), NULL)
			: -EFAULT;
}

/* A text of the guest, of which only what is printable is kept. In pieces that end where pages do.
 */
static int read_text(const struct walk *w, uint64_t at, char *to, size_t size)
{
	size_t n = 0;

	memset(to, 0, size);
	while (n < size - 1 && strlen(to) == n) {
		size_t len = PIECE - (at + n) % PIECE;
		int rc;

		if (len > size - 1 - n)
			len = size - 1 - n;
		rc = vp_kernel_mem_read(&w->l->mem, VP_GVA(at + n), to + n, len, NULL);
		if (rc)
			return rc;
		n += len;
	}
	vp_text_clean(to);
	return 0;
}

static int see_func(struct walk *w, uint64_t at)
{
	const struct vp_klp_layout *y = w->y;
	uint64_t name = 0, from = 0, to = 0;
	int rc = w->funcs++ < FUNCS_MAX ? read_word(w, at + y->func_name, &name) : -EFAULT;

	if (!rc)
		rc = read_word(w, at + y->func_old, &from);
	if (!rc)
		rc = read_word(w, at + y->func_new, &to);
	if (!rc)
		rc = read_text(w, name, w->f.name, sizeof(w->f.name));
	w->f.from = VP_GVA(from);
	w->f.to = VP_GVA(to);
	return rc ? rc : w->fn(w->arg, &w->f);
}

/* Each entry of a list whose @node is so far into what it is a part of. */
static int each(struct walk *w, uint64_t head, uint32_t node, unsigned int max,
		int (*see)(struct walk *w, uint64_t at))
{
	uint64_t next = 0;
	int rc = read_word(w, head, &next);

	for (unsigned int i = 0; !rc && next != head; i++) {
		uint64_t at = next - node;

		rc = i < max ? read_word(w, next, &next) : -EFAULT;
		if (!rc)
			rc = see(w, at);
	}
	return rc;
}

static int see_object(struct walk *w, uint64_t at)
{
	return each(w, at + w->y->obj_func_list, w->y->func_node, FUNCS_MAX, see_func);
}

static int see_patch(struct walk *w, uint64_t at)
{
	uint64_t mod = 0;
	uint8_t enabled = 0;
	int rc = read_word(w, at + w->y->patch_mod, &mod);

	if (!rc)
		rc = read_text(w, mod + w->l->modules_at.name, w->f.module, sizeof(w->f.module));
	if (!rc)
		rc = vp_kernel_mem_read(&w->l->mem, VP_GVA(at + w->y->patch_enabled), &enabled, 1,
					NULL);
	w->f.enabled = enabled;
	return rc ? rc
		  : each(w, at + w->y->patch_obj_list, w->y->obj_node, PATCHES_MAX, see_object);
}

int vp_linux_livepatches(struct vp_linux *l,
			 int (*fn)(void *arg, const struct vp_klp_function *function), void *arg,
			 struct vp_err *err)
{
	struct walk w = { .l = l, .y = &l->klp_at, .fn = fn, .arg = arg };
	vp_gva head;
	int rc;

	if (!vp_linux_find(l, "klp_patches", &head) || !l->klp_at.lists_known ||
	    !l->modules_at.size)
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols or types do not tell of livepatches");
	rc = each(&w, head.v, l->klp_at.patch_list, PATCHES_MAX, see_patch);
	if (rc == -EFAULT)
		return vp_err_set(err, -EAGAIN,
				  "the kernel's list of livepatches makes no sense, or changes");
	return rc < 0 ? vp_err_set(err, rc, "the kernel's list of livepatches cannot be read: %s",
				   strerror(-rc))
		      : rc;
}

struct search {
	vp_gva start;
	struct vp_klp_function *out;
};

static int is_it(void *arg, const struct vp_klp_function *f)
{
	const struct search *s = arg;

	if (!f->enabled || f->from.v != s->start.v)
		return 0;
	*s->out = *f;
	return 1;
}

bool vp_linux_livepatch_of(struct vp_linux *l, vp_gva start, struct vp_klp_function *out)
{
	struct search s = { start, out };

	return vp_linux_livepatches(l, is_it, &s, NULL) == 1;
}
