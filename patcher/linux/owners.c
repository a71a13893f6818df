/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A poke into the kernel's text, planned: everybody who may own its bytes is asked
 * (docs/linux.md, "Owners").
 */
#include "linux/jump_table.h"
#include "linux/modules.h"
#include "linux/owner_call.h"
#include "linux/owner_ftrace.h"
#include "linux/owner_probe.h"

#include <errno.h>
#include <stdlib.h>

/* --- static keys ---------------------------------------------------------------- */

#define JUMP_LEN 5u

static int ask_entries(const struct vp_linux *l, const struct vp_jump_table *t,
		       const struct vp_site *s, struct vp_err *err)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct vp_jump_entry *e = &t->entries[i];
		struct vp_jump_site now;
		char name[128];
		int rc;

		if (e->init || !vp_span_meets(e->code, JUMP_LEN, s))
			continue;
		rc = vp_jump_look(l, NULL, e, &now, err);
		if (rc)
			return rc;
		if (!vp_span_meets(e->code, now.len ? now.len : JUMP_LEN, s))
			continue;
		vp_owner_name(l, e->key, name, sizeof(name));
		return vp_err_set(err, -EBUSY,
				  "static key %s switches it, and the guest panics where it finds "
				  "other bytes: use `vmpoke key set TARGET %s on|off`",
				  name, name);
	}
	return 0;
}

/* Is this kernel, by its type information, built without static keys? */
static bool has_no_keys(const struct vp_linux *l)
{
	return l->owners_at.known && l->modules_at.size && !l->modules_at.jump_entries;
}

static int ask_keys(struct vp_linux *l, const struct vp_site *s, struct vp_err *err)
{
	const struct vp_jump_table *t;
	int rc = vp_jump_table_get(l, &t, err);

	if (rc == -ENOENT)
		return has_no_keys(l) ? 0 : -EOPNOTSUPP;
	if (!rc)
		rc = ask_entries(l, t, s, err);
	if (!rc)
		rc = vp_jump_modules_get(l, &t, err);
	return rc ? rc : ask_entries(l, t, s, err);
}

/* --- whose memory it is --------------------------------------------------------- */

/* In neither the image nor a module lies what the guest makes and frees as it likes. */
static int ask_place(const struct vp_linux *l, const struct vp_site *s, struct vp_err *err)
{
	if (s->addr.v - l->mem.text.v < l->mem.end - l->mem.text.v)
		return 0;
	for (size_t i = 0; i < l->modules.n; i++)
		if (vp_module_piece(&l->modules.m[i], s->addr.v) >= 0)
			return 0;
	if (vp_modules_are_known(l) && l->modules_at.npieces && l->modules.whole)
		return vp_err_set(
			err, -EBUSY,
			"it lies in neither the kernel nor a module, but in code that the "
			"guest has made itself (BPF, kprobes, trampolines) and frees");
	return vp_err_set(err, -EOPNOTSUPP,
			  "it lies outside the kernel's image, and not all modules can be told");
}

/* --- all of them ---------------------------------------------------------------- */

static int ask(struct vp_owners *o, const struct vp_site *s, struct vp_err *err)
{
	int rc = ask_place(o->l, s, err);

	if (!rc)
		rc = ask_keys(o->l, s, err);
	if (!rc)
		rc = vp_calls_ask(o, s, err);
	if (!rc)
		rc = vp_probes_ask(o, s, err);
	return rc ? rc : vp_ftrace_ask(o, s, err);
}

static int read_all(struct vp_owners *o, struct vp_err *err)
{
	int rc = 0;

	if (!o->l->owners_at.known)
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel has no type information (BTF), or none that makes "
				  "sense, so who else changes its text cannot be known");
	rc = vp_calls_read(o, err);
	if (!rc)
		rc = vp_probes_read(o, err);
	return rc ? rc : vp_ftrace_read(o, err);
}

/* Nobody is about to patch the guest, or to become an owner. */
static int require_idle(struct vp_owners *o, struct vp_err *err)
{
	int rc = vp_lock_require(o->l, "text_mutex", &o->words, err);

	if (!rc && o->l->owners_at.probe_size)
		rc = vp_lock_require(o->l, "kprobe_mutex", &o->words, err);
	return rc == -ENOENT ? -EOPNOTSUPP : rc;
}

/* May @rc be passed over by force? Then its reason is kept, the first of all. */
static bool is_forced(int rc, bool force, const struct vp_err *why, struct vp_linux_care *out)
{
	if (!force || (rc != -EBUSY && rc != -EOPNOTSUPP && rc != -EBADMSG))
		return false;
	if (!out->forced.text[0])
		out->forced = *why;
	return true;
}

static bool is_kernel(const struct vp_site *s)
{
	return s->addr.v >> 63;
}

static int ask_sites(struct vp_owners *o, const struct vp_site *sites, size_t n, bool force,
		     struct vp_linux_care *out, struct vp_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct vp_err why = { "" }, text = { "" };
		int rc = is_kernel(&sites[i]) ? ask(o, &sites[i], &why) : 0;

		if (!rc)
			continue;
		vp_err_set(&text, rc, "site %zu at 0x%llx: %.200s", i,
			   (unsigned long long)sites[i].addr.v, why.text);
		if (is_forced(rc, force, &text, out))
			continue;
		return vp_err_set(err, rc, "%s%s", text.text,
				  rc != -EAGAIN && strlen(text.text) < 240 ? " (or --force)" : "");
	}
	return 0;
}

static void owners_free(struct vp_owners *o)
{
	free(o->calls.s);
	free(o->probes.s);
	free(o->pages);
	free(o->words.words);
}

static int plan(struct vp_linux *l, const struct vp_site *sites, size_t n, bool force, bool back,
		struct vp_linux_care *out, struct vp_err *err)
{
	struct vp_owners o = { .l = l, .force = force, .back = back };
	struct vp_err why = { "" };
	size_t kernels = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		kernels += is_kernel(&sites[i]);
	if (!kernels)
		return 0;
	if (vp_kernel_mem_keep(&l->mem))
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = read_all(&o, &why);
	if (!rc)
		rc = require_idle(&o, &why);
	if (rc && !is_forced(rc, force, &why, out))
		rc = vp_err_set(err, rc, "%.230s", why.text);
	else
		rc = ask_sites(&o, sites, n, force, out, err);
	vp_kernel_mem_drop(&l->mem);
	if (!rc) {
		out->words = o.words.words;
		out->nwords = o.words.n;
		out->stop = o.stop;
		o.words = (struct vp_word_list){ 0 };
	}
	owners_free(&o);
	return rc;
}

int vp_linux_poke_plan(struct vp_linux *l, const struct vp_site *sites, size_t n, bool force,
		       struct vp_linux_care *out, struct vp_err *err)
{
	return plan(l, sites, n, force, false, out, err);
}

int vp_linux_redirect_plan(struct vp_linux *l, const struct vp_site *sites, size_t n, bool force,
			   struct vp_linux_care *out, struct vp_err *err)
{
	return plan(l, sites, n, force, true, out, err);
}

void vp_linux_care_free(struct vp_linux_care *care)
{
	free(care->words);
	memset(care, 0, sizeof(*care));
}
