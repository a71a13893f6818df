/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan to switch a static key (S7): every live site, and the count. vp_poke() compares every
 * byte once more when it carries it out.
 *
 * Sites are parked, not emulated: so no vCPU runs new code at one site before all sites are new,
 * which is more than the guest's own switch promises.
 */
#include "linux/conditions.h"
#include "linux/keys.h"
#include "linux/modules.h"

#include "x86/encode.h"

#include <errno.h>
#include <stdlib.h>

#define NOPS_COMPARED 64u
#define NOPS_AROUND   0x20000u

/*
 * Compare the nops of @len bytes at those sites that @view has (all sites without it) with each
 * other. The number of them goes to @seen, the nop to @out.
 */
static int compare_nops(const struct vp_linux *l, const struct vp_jump_table *t,
			struct vp_view *view, uint8_t len, uint8_t *out, unsigned int *seen,
			struct vp_err *err)
{
	unsigned int looks = 0;

	for (size_t i = 0; i < t->n && looks < NOPS_COMPARED; i++) {
		uint64_t code = t->entries[i].code;
		struct vp_jump_site s;
		int rc;

		if (t->entries[i].init ||
		    (view && !vp_blob_at(&view->blob, code - view->blob.base, len)))
			continue;
		looks++;
		rc = vp_jump_look(l, view, &t->entries[i], &s, err);
		if (rc)
			return rc;
		if (s.state != VP_JUMP_NOP || s.len != len)
			continue;
		if ((*seen)++ && memcmp(out, s.bytes, len))
			return vp_err_set(err, -EBUSY,
					  "the guest uses different %u-byte nops: cannot tell "
					  "which it expects",
					  len);
		memcpy(out, s.bytes, len);
	}
	return 0;
}

/*
 * The guest compares what it replaces with the nop that it uses itself
 * (arch/x86/kernel/jump_label.c) and panics if they differ. That nop depends on kernel and CPU; so
 * learn it from other sites: those around @near, which one read brings; or, if there are none, any.
 */
static int learn_nop(struct vp_linux *l, uint64_t near, uint8_t len, uint8_t *out,
		     struct vp_err *err)
{
	const struct vp_jump_table *t;
	struct vp_view view = { 0 };
	unsigned int seen = 0;
	int rc = vp_jump_table_get(l, &t, err);

	if (!rc && vp_view_fill(l, &view, near & ~(uint64_t)(NOPS_AROUND - 1), NOPS_AROUND))
		rc = compare_nops(l, t, &view, len, out, &seen, err);
	if (!rc && !seen)
		rc = compare_nops(l, t, NULL, len, out, &seen, err);
	if (!rc && !seen && vp_encode_nop(out, len) < 0)
		rc = vp_err_set(err, -EINVAL, "no nop has %u bytes", len);
	vp_view_free(&view);
	return rc;
}

struct nops {
	uint8_t bytes[6][5]; /* by length */
	bool known[6];
};

static int make_site(struct vp_linux *l, const struct vp_jump_entry *e,
		     const struct vp_jump_site *s, struct nops *nops, struct vp_site *out,
		     struct vp_err *err)
{
	vp_gva at = VP_GVA(e->code);
	int rc = 0;

	*out = (struct vp_site){ .addr = at, .len = s->len, .resume = VP_RESUME_PARK };
	memcpy(out->old_bytes, s->bytes, s->len);
	if (s->state == VP_JUMP_NOP) {
		if (vp_encode_jmp(out->new_bytes, s->len, at, VP_GVA(e->target)) < 0)
			return vp_err_set(err, -EBUSY, "site 0x%llx: its target is out of reach",
					  (unsigned long long)at.v);
		return 0;
	}
	if (!nops->known[s->len])
		rc = learn_nop(l, at.v, s->len, nops->bytes[s->len], err);
	nops->known[s->len] = true;
	memcpy(out->new_bytes, nops->bytes[s->len], s->len);
	return rc;
}

static int by_addr(const void *a, const void *b)
{
	const struct vp_site *x = a, *y = b;

	return (x->addr.v > y->addr.v) - (x->addr.v < y->addr.v);
}

static int make_sites(struct vp_linux *l, const struct vp_key_look *in, struct vp_linux_flip *flip,
		      struct vp_err *err)
{
	struct nops nops = { 0 };
	int rc = 0;

	flip->sites = calloc(in->live, sizeof(*flip->sites));
	if (!flip->sites)
		return vp_err_set(err, -ENOMEM, "out of memory for %zu sites", in->live);
	for (size_t i = 0; i < in->list.n && !rc; i++)
		if (!vp_key_site_is_init(l, &in->list.entries[i], &in->sites[i]))
			rc = make_site(l, &in->list.entries[i], &in->sites[i], &nops,
				       &flip->sites[flip->nsites++], err);
	qsort(flip->sites, flip->nsites, sizeof(*flip->sites), by_addr);
	return rc;
}

/* May the key be switched from outside? -EBUSY and why, if not. */
static int check_flip(const struct vp_key_look *in, const char *name, bool on, struct vp_err *err)
{
	if (in->broken)
		return vp_err_set(err, -EBUSY, "key %s: %s", name, in->broken);
	if (!on && in->key.enabled > 1)
		return vp_err_set(err, -EBUSY,
				  "key %s: %d users hold it on, each will take back its own", name,
				  in->key.enabled);
	if (!in->live)
		return vp_err_set(err, -EBUSY, "key %s: it has no site left that could be switched",
				  name);
	return 0;
}

/* The modules as they are now, and until the write. */
static int settle_modules(struct vp_linux *l, struct vp_word_list *words, struct vp_err *err)
{
	int rc = vp_modules_settled(l, words, err);

	if (rc != -EAGAIN)
		return rc;
	rc = vp_linux_refresh(l, err);
	return rc ? rc : vp_modules_settled(l, words, err);
}

/* While nobody patches the guest, switches keys, or loads a module. */
static int make_conditions(struct vp_linux *l, struct vp_word_list *words, struct vp_err *err)
{
	int rc = settle_modules(l, words, err);

	if (!rc)
		rc = vp_lock_require(l, "text_mutex", words, err);
	return rc ? rc : vp_lock_require(l, "jump_label_mutex", words, err);
}

static int make_flip(struct vp_linux *l, vp_gva addr, bool on, const struct vp_key_look *in,
		     struct vp_word_list *words, struct vp_linux_flip *flip, struct vp_err *err)
{
	const struct vp_word count = { addr, (uint32_t)in->key.enabled, on };
	int rc;

	if (on == (in->key.enabled > 0))
		return 0;
	rc = vp_word_list_add(words, count, err);
	if (rc)
		return rc;
	flip->words = words->words;
	flip->nwords = words->n;
	memset(words, 0, sizeof(*words));
	return make_sites(l, in, flip, err);
}

int vp_linux_key_plan(struct vp_linux *l, vp_gva addr, bool on, struct vp_linux_flip *out,
		      struct vp_err *err)
{
	struct vp_key_look in = { 0 };
	struct vp_linux_flip flip = { 0 };
	struct vp_word_list words = { 0 };
	struct vp_linux_key key;
	struct vp_err broken, why = { "" }; /* what is broken of a key is no error yet */
	int rc = vp_kernel_mem_keep(&l->mem) ? vp_err_set(&why, -ENOMEM, "out of memory") : 0;

	if (!rc)
		rc = make_conditions(l, &words, &why);
	if (!rc)
		rc = vp_key_look_at(l, addr.v, &in, &broken, &why);
	if (!rc) {
		vp_key_fill(l, addr.v, &in, &key);
		rc = check_flip(&in, key.name, on, &why);
	}
	if (!rc)
		rc = make_flip(l, addr, on, &in, &words, &flip, &why);
	vp_kernel_mem_drop(&l->mem);
	vp_key_look_free(&in);
	free(words.words);
	if (rc) {
		vp_linux_flip_free(&flip);
		return vp_err_set(err, rc, "%s", why.text);
	}
	*out = flip;
	return 0;
}

void vp_linux_flip_free(struct vp_linux_flip *flip)
{
	free(flip->sites);
	free(flip->words);
	memset(flip, 0, sizeof(*flip));
}
