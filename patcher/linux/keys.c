/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static keys: what a key and its sites say about each other.
 *
 * The guest runs while it is read, and may be switching the very key: what looks wrong is looked at
 * again before it is called so.
 */
#include "base/tell.h"
#include "linux/keys.h"
#include "linux/modules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIES 4u
/* In one list: a guest whose keys are all broken is not asked four times for each. */
#define SECOND_LOOKS 64u

/* Reading this much more costs less than another read. */
#define KEYS_AHEAD 0x10000u
#define TEXT_AHEAD 0x10000u

#define TEXT_MAX ((uint64_t)64 << 20)

void vp_key_look_free(struct vp_key_look *in)
{
	free(in->list.entries);
	free(in->sites);
	memset(in, 0, sizeof(*in));
}

static bool in_image(const struct vp_linux *l, uint64_t addr)
{
	return addr - l->mem.text.v < l->mem.end - l->mem.text.v;
}

/* Is it in the memory of a module, as far as that is known? What was freed may be another's now. */
static bool in_module(const struct vp_linux *l, uint64_t addr)
{
	for (size_t i = 0; i < l->modules.n; i++)
		if (vp_module_piece(&l->modules.m[i], addr) >= 0)
			return true;
	return !l->modules_at.npieces || !l->modules.whole;
}

/* Modules of older kernels do not mark theirs: they are only gone. */
bool vp_key_site_is_init(const struct vp_linux *l, const struct vp_jump_entry *e,
			 const struct vp_jump_site *s)
{
	return e->init ||
	       (!in_image(l, e->code) && (s->state == VP_JUMP_GONE || !in_module(l, e->code)));
}

/* Write into @why what is wrong with one live site, and return it; NULL if nothing is. */
static const char *judge(const struct vp_jump_entry *e, const struct vp_jump_site *s,
			 int32_t enabled, struct vp_err *why)
{
	unsigned long long at = e->code;
	bool jmp = (enabled > 0) != e->branch;

	if (s->state == VP_JUMP_GONE)
		vp_err_set(why, 0, "its site 0x%llx is no code", at);
	else if (s->state == VP_JUMP_BUSY)
		vp_err_set(why, 0, "an int3 stands at its site 0x%llx", at);
	else if (s->state == VP_JUMP_ODD)
		vp_err_set(why, 0,
			   "its site 0x%llx is neither a nop nor the right jmp: "
			   "%02x %02x %02x %02x %02x",
			   at, s->bytes[0], s->bytes[1], s->bytes[2], s->bytes[3], s->bytes[4]);
	else if ((s->state == VP_JUMP_JMP) != jmp)
		vp_err_set(why, 0, "its count is %d, but its site 0x%llx is a %s", enabled, at,
			   jmp ? "nop" : "jmp");
	else
		return NULL;
	return why->text;
}

/* Look at a key once. What is wrong goes to @why; an error return is one of reading. */
static int inspect_once(struct vp_linux *l, uint64_t addr, struct vp_view *keys,
			struct vp_view *text, struct vp_key_look *in, struct vp_err *why,
			struct vp_err *err)
{
	int rc = vp_jump_key(l, keys, addr, &in->key, err);
	bool hidden;

	if (!rc)
		rc = vp_jump_entries(l, addr, &in->key, &in->list, &hidden, err);
	if (rc)
		return rc;
	in->sites = calloc(in->list.n + 1, sizeof(*in->sites));
	if (!in->sites)
		return vp_err_set(err, -ENOMEM, "out of memory for jump sites");
	if (in->key.enabled < 0) {
		vp_err_set(why, 0, "its count is %d: the guest is switching it", in->key.enabled);
		in->broken = why->text;
	}
	if (hidden && !in->broken) {
		vp_err_set(why, 0, "modules may have sites of it that cannot be found");
		in->broken = why->text;
	}
	for (size_t i = 0; i < in->list.n; i++) {
		const struct vp_jump_entry *e = &in->list.entries[i];

		rc = vp_jump_look(l, text, e, &in->sites[i], err);
		if (rc)
			return rc;
		if (vp_key_site_is_init(l, e, &in->sites[i])) {
			in->init++;
			continue;
		}
		in->live++;
		if (!in->broken)
			in->broken = judge(e, &in->sites[i], in->key.enabled, why);
	}
	return 0;
}

/*
 * Look at a key; again, at fresh memory, if it seems broken: the guest may have been switching it.
 * To be freed whatever the result.
 */
static int inspect(struct vp_linux *l, uint64_t addr, struct vp_view *keys, struct vp_view *text,
		   unsigned int tries, struct vp_key_look *in, struct vp_err *why,
		   struct vp_err *err)
{
	int rc;

	for (unsigned int i = 1;; i++) {
		struct vp_view fresh = { .ahead = TEXT_AHEAD };

		memset(in, 0, sizeof(*in));
		if (i > 1 && l->mem.kept)
			vp_kernel_mem_keep(&l->mem); /* afresh */
		if (i == 1 && text)
			rc = inspect_once(l, addr, keys, text, in, why, err);
		else
			rc = inspect_once(l, addr, NULL, &fresh, in, why, err);
		vp_view_free(&fresh);
		if ((!rc && !in->broken) || i >= tries)
			return rc;
		vp_key_look_free(in);
	}
}

void vp_key_fill(struct vp_linux *l, uint64_t addr, const struct vp_key_look *in,
		 struct vp_linux_key *out)
{
	uint64_t offset = 0;
	const char *name = vp_linux_nearest(l, VP_GVA(addr), &offset);

	if (!name)
		snprintf(l->key_name, sizeof(l->key_name), "0x%llx", (unsigned long long)addr);
	else if (offset)
		snprintf(l->key_name, sizeof(l->key_name), "%.512s+0x%llx", name,
			 (unsigned long long)offset);
	else
		snprintf(l->key_name, sizeof(l->key_name), "%.512s", name);
	if (in->broken)
		snprintf(l->reason, sizeof(l->reason), "%s", in->broken);
	*out = (struct vp_linux_key){
		.name = l->key_name,
		.addr = VP_GVA(addr),
		.enabled = in->key.enabled,
		.sites = in->live,
		.init_sites = in->init,
		.broken = in->broken ? l->reason : NULL,
	};
}

/* The text with all sites in one read: cheaper than thousands of small ones. */
static void read_text(const struct vp_linux *l, const struct vp_jump_table *t, struct vp_view *text)
{
	const struct vp_kernel_run *r = &l->mem.runs[0];
	uint64_t first = UINT64_MAX, last = 0;

	for (size_t i = 0; i < t->n; i++) {
		uint64_t code = t->entries[i].code;

		if (t->entries[i].init || code - r->start >= r->len - VP_INSN_MAX)
			continue;
		first = code < first ? code : first;
		last = code > last ? code : last;
	}
	if (first <= last && last - first < TEXT_MAX)
		vp_view_fill(l, text, first, (size_t)(last - first) + VP_INSN_MAX);
}

/* One call of vp_linux_keys(). */
struct telling {
	int (*fn)(void *arg, const struct vp_linux_key *key);
	void *arg;
	struct vp_view keys, text; /* text: that of the kernel */
	unsigned int broken;
	struct vp_err *err;
};

/* Tell of each key of @t, but not of those that are in @before. */
static int tell_keys(struct vp_linux *l, const struct vp_jump_table *t,
		     const struct vp_jump_table *before, struct telling *to)
{
	int rc = 0;

	for (size_t i = 0; i < t->n && !rc; i++) {
		uint64_t addr = t->entries[i].key;
		unsigned int tries = to->broken < SECOND_LOOKS ? TRIES : 1;
		struct vp_linux_key key;
		struct vp_err why, unread;
		struct vp_key_look in;
		size_t n = 0;

		vp_tell_progress("looking at the static keys", i, t->n);
		if (before)
			vp_jump_table_find(before, addr, &n);
		if (n || (i && addr == t->entries[i - 1].key))
			continue;
		rc = inspect(l, addr, &to->keys, &to->text, tries, &in, &why, &unread);
		if (rc && rc != -EFAULT && rc != -EBADMSG) {
			vp_key_look_free(&in);
			return vp_err_set(to->err, rc, "%s", unread.text);
		}
		if (rc)
			in.broken = unread.text;
		if (rc && before) { /* it was unloaded meanwhile */
			vp_key_look_free(&in);
			rc = 0;
			continue;
		}
		vp_key_fill(l, addr, &in, &key);
		vp_key_look_free(&in);
		to->broken += key.broken != NULL;
		rc = to->fn(to->arg, &key);
	}
	vp_tell_progress("looking at the static keys", t->n, t->n);
	return rc;
}

int vp_linux_keys(struct vp_linux *l, int (*fn)(void *arg, const struct vp_linux_key *key),
		  void *arg, struct vp_err *err)
{
	struct telling to = { .fn = fn, .arg = arg, .keys.ahead = KEYS_AHEAD, .err = err };
	struct vp_jump_table *modules = NULL;
	const struct vp_jump_table *t;
	int rc = vp_jump_table_get(l, &t, err);

	if (!rc && vp_kernel_mem_keep(&l->mem))
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	if (rc)
		return rc;
	l->work = 0;
	read_text(l, t, &to.text);
	rc = tell_keys(l, t, NULL, &to);
	if (!rc)
		rc = vp_jump_modules_keep(l, &modules, err);
	if (!rc)
		rc = tell_keys(l, modules, t, &to);
	vp_jump_table_free(modules);
	vp_view_free(&to.keys);
	vp_view_free(&to.text);
	vp_kernel_mem_drop(&l->mem);
	return rc;
}

int vp_key_look_at(struct vp_linux *l, uint64_t addr, struct vp_key_look *in, struct vp_err *why,
		   struct vp_err *err)
{
	const struct vp_jump_table *t;
	int rc = vp_jump_table_get(l, &t, err);

	memset(in, 0, sizeof(*in));
	if (rc)
		return rc;
	l->work = 0;
	rc = inspect(l, addr, NULL, NULL, TRIES, in, why, err);
	if ((!rc && !in->list.n) || rc == -EFAULT)
		return vp_err_set(err, -ENOENT,
				  "no static key is at 0x%llx: no jump entry names it",
				  (unsigned long long)addr);
	return rc;
}

int vp_linux_key_at(struct vp_linux *l, vp_gva addr, struct vp_linux_key *out, struct vp_err *err)
{
	struct vp_key_look in = { 0 };
	struct vp_err why;
	int rc = vp_kernel_mem_keep(&l->mem) ? vp_err_set(err, -ENOMEM, "out of memory")
					     : vp_key_look_at(l, addr.v, &in, &why, err);

	if (!rc)
		vp_key_fill(l, addr.v, &in, out);
	vp_kernel_mem_drop(&l->mem);
	vp_key_look_free(&in);
	return rc;
}
