/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of modules (kernel/module/main.c): each struct module in turn, laid out as the kernel's
 * BTF says. The guest runs meanwhile and may change the list: the caller reads it again.
 */
#include "linux/modules.h"

#include "base/digest.h"
#include "linux/conditions.h"
#include "linux/view.h"

#include <errno.h>
#include <stdlib.h>

/* A desktop has 200; the largest (amdgpu) has 60,000 symbols. */
#define MODULES_MAX 4096u
#define SYMBOLS_MAX (1u << 18)
#define PATCHED_MAX (1u << 16)

#define STATE_LIVE 0u /* MODULE_STATE_LIVE */

/* struct list_head: next, prev. */
#define LIST_PREV 8u
#define LIST_SIZE 16u

/* Does this kernel have modules that we can read? */
bool vp_modules_are_known(const struct vp_linux *l)
{
	return l->modules_at.size && l->modules_head;
}

int vp_module_piece(const struct vp_module *m, uint64_t addr)
{
	for (unsigned int i = 0; i < VP_MODULE_PIECES_MAX; i++)
		if (addr - m->pieces[i].base < m->pieces[i].len)
			return (int)i;
	return -1;
}

bool vp_is_printable(const char *s)
{
	while (*s > ' ' && *s <= '~')
		s++;
	return !*s;
}

static bool take_name(const struct vp_module_layout *y, const struct vp_blob *b, char *to)
{
	size_t max = y->name_size < VP_MODULE_NAME_MAX ? y->name_size : VP_MODULE_NAME_MAX;
	const char *name = vp_blob_text(b, y->name, max);

	if (!name || !*name || !vp_is_printable(name))
		return false;
	memcpy(to, name, strlen(name) + 1);
	return true;
}

static void take_pieces(const struct vp_module_layout *y, const struct vp_blob *b,
			struct vp_module *m)
{
	for (uint32_t i = 0; i < y->npieces && i < VP_MODULE_PIECES_MAX; i++) {
		const struct vp_blob piece = vp_blob_from(b, y->pieces + i * y->piece_size);

		if (!vp_blob_u64(&piece, y->piece_base, &m->pieces[i].base) ||
		    !vp_blob_u32(&piece, y->piece_len, &m->pieces[i].len))
			m->pieces[i].len = 0;
	}
}

/* Which of its instructions the guest changes itself. */
static bool take_patched(const struct vp_linux *l, const struct vp_blob *b, struct vp_module *m)
{
	const struct vp_module_layout *y = &l->modules_at;
	const struct vp_owner_layout *o = &l->owners_at;

	if (y->jump_entries && (!vp_blob_u64(b, y->jump_entries, &m->jumps) ||
				!vp_blob_u32(b, y->num_jumps, &m->njumps)))
		return false;
	if (o->calls_known && (!vp_blob_u64(b, o->call_sites, &m->calls) ||
			       !vp_blob_u32(b, o->num_call_sites, &m->ncalls)))
		return false;
	return m->njumps <= PATCHED_MAX && m->ncalls <= PATCHED_MAX;
}

/* Where its symbols are: most often struct mod_kallsyms is a part of struct module itself. */
static int take_kallsyms(const struct vp_linux *l, const struct vp_blob *b, struct vp_module *m)
{
	const struct vp_module_layout *y = &l->modules_at;
	uint8_t symtab[8], strtab[8], count[4];
	const struct vp_blob parts[] = { { symtab, 8, 0 }, { strtab, 8, 0 }, { count, 4, 0 } };
	struct vp_view view = { .blob = *b };
	uint64_t at;
	int rc;

	if (!vp_blob_u64(b, y->kallsyms, &at))
		return -EFAULT;
	rc = vp_view_read(l, &view, at + y->symtab, symtab, sizeof(symtab), NULL);
	if (!rc)
		rc = vp_view_read(l, &view, at + y->strtab, strtab, sizeof(strtab), NULL);
	if (!rc)
		rc = vp_view_read(l, &view, at + y->num_symtab, count, sizeof(count), NULL);
	if (rc)
		return rc;
	vp_blob_u64(&parts[0], 0, &m->symtab);
	vp_blob_u64(&parts[1], 0, &m->strtab);
	vp_blob_u32(&parts[2], 0, &m->nsymbols);
	return m->nsymbols <= SYMBOLS_MAX ? 0 : -EFAULT;
}

/*
 * Take the module of the list's entry @node, whose entry before is *@prev, and go on. One that is
 * coming or going is passed by. 1: the module makes no sense. -EAGAIN: the list does not.
 */
static int take_module(const struct vp_linux *l, uint64_t *node, uint64_t *prev, uint8_t *raw,
		       struct vp_modules *list)
{
	const struct vp_module_layout *y = &l->modules_at;
	const struct vp_blob b = { raw, y->size, *node - y->list };
	struct vp_module *m = &list->m[list->n];
	uint64_t next, back;
	uint32_t state;
	int rc;

	memset(m, 0, sizeof(*m)); /* padding is digested, too */
	m->addr = b.base;
	rc = *node >> 63 ? vp_kernel_mem_read(&l->mem, VP_GVA(b.base), raw, b.len, NULL) : -EFAULT;
	if (rc)
		return rc == -EFAULT ? -EAGAIN : rc;
	if (!vp_blob_u64(&b, y->list, &next) || !vp_blob_u64(&b, y->list + LIST_PREV, &back) ||
	    back != *prev || !vp_blob_u32(&b, y->state, &state))
		return -EAGAIN;
	*prev = *node;
	*node = next;
	if (state != STATE_LIVE) {
		list->unsettled++;
		return 0;
	}
	take_pieces(y, &b, m);
	rc = take_patched(l, &b, m) && take_name(y, &b, m->name) ? take_kallsyms(l, &b, m)
								 : -EFAULT;
	if (!rc) {
		list->digest = vp_digest(list->digest, m, sizeof(*m));
		list->n++;
	}
	return rc == -EFAULT ? 1 : rc;
}

static int grow_list(struct vp_modules *list)
{
	size_t cap = list->cap ? 2 * list->cap : 64;
	void *p;

	if (list->n < list->cap)
		return 0;
	p = reallocarray(list->m, cap, sizeof(*list->m));
	if (!p)
		return -ENOMEM;
	list->m = p;
	list->cap = cap;
	return 0;
}

int vp_modules_list(const struct vp_linux *l, struct vp_modules *out)
{
	struct vp_modules list = { .digest = VP_DIGEST_INIT };
	uint8_t head[LIST_SIZE], raw[VP_MODULE_MAX];
	const struct vp_blob b = { head, sizeof(head), l->modules_head };
	uint64_t node = 0, prev = l->modules_head;
	int rc = vp_kernel_mem_read(&l->mem, VP_GVA(prev), head, sizeof(head), NULL);
	bool odd = false;

	if (rc == -EFAULT)
		rc = -EAGAIN;
	vp_blob_u64(&b, 0, &node);
	list.first = node;
	for (unsigned int i = 0; rc >= 0 && node != l->modules_head; i++) {
		rc = i < MODULES_MAX ? grow_list(&list) : -EAGAIN;
		if (!rc)
			rc = take_module(l, &node, &prev, raw, &list);
		odd |= rc > 0;
	}
	list.whole = rc >= 0 && !odd;
	*out = list;
	return rc < 0 ? rc : odd ? -EAGAIN : 0;
}

int vp_modules_settled(const struct vp_linux *l, struct vp_word_list *list, struct vp_err *err)
{
	struct vp_modules now = { 0 };
	int rc;

	if (!vp_modules_are_known(l))
		return 0;
	rc = vp_modules_list(l, &now);
	free(now.m);
	if (rc && rc != -EAGAIN)
		return vp_err_set(err, rc, "cannot read the guest's list of modules: %s",
				  strerror(-rc));
	if (rc || now.unsettled || now.digest != l->modules.digest)
		return vp_err_set(err, -EAGAIN,
				  "the guest is loading or unloading a module; try again");
	return vp_word_list_require(list, VP_GVA(l->modules_head), now.first, err);
}
