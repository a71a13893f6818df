/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on the scripted target: batches of any sites, with vCPUs that do not answer a sync.
 * Refused or rolled back: not one byte of RAM differs. Applied: exactly the bytes of the sites.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"
#include "x86/decode.h"
#include "x86/encode.h"

#define SITES_MAX 8u

struct batch {
	struct vp_site sites[SITES_MAX];
	size_t n;
	struct vp_poke_opts opts;
	unsigned int fail_sync; /* the number of the sync that a vCPU does not answer; 0: none */
	bool cannot_arm, cannot_stop;
};

/* --- the input --------------------------------------------------------------- */

static uint64_t take_address(struct fuzz_in *in)
{
	static const uint64_t regions[] = { FAKE_TEXT,	FAKE_TEXT, FAKE_SPLIT, FAKE_DATA,
					    FAKE_ALIAS, FAKE_HOLE, 0,	       1ull << 63 };
	uint64_t how = fuzz_take(in, 1), region = regions[how & 7];
	unsigned int place = (unsigned int)fuzz_take(in, 2);

	if (how & 8)
		return region + place;
	return fuzz_world_insn(region, place >> 4 & 127, place & 15);
}

static void take_new(struct fuzz_in *in, struct vp_site *s, unsigned int how)
{
	vp_gva to = VP_GVA(s->addr.v + (uint64_t)(int64_t)(int16_t)fuzz_take(in, 2));

	switch (how) {
	case 0:
		vp_encode_nop(s->new_bytes, s->len);
		break;
	case 1:
		vp_encode_jmp(s->new_bytes, s->len, s->addr, to);
		break;
	case 2:
		memcpy(s->new_bytes, s->old_bytes, VP_INSN_MAX);
		s->new_bytes[(s->len ? s->len - 1 : 0) % VP_INSN_MAX] ^= 1;
		break;
	default:
		for (size_t i = 0; i < VP_INSN_MAX; i++)
			s->new_bytes[i] = (uint8_t)fuzz_take(in, 1);
	}
}

/* What stands there, and the length of the instruction, if the input does not say otherwise. */
static void take_site(struct fuzz_in *in, struct vp_site *s)
{
	unsigned int shape = (unsigned int)fuzz_take(in, 1);
	struct vp_insn insn;

	*s = (struct vp_site){ .addr = VP_GVA(take_address(in)) };
	for (size_t i = 0; i < VP_INSN_MAX; i++)
		if (fuzz_world_is_text(s->addr.v + i))
			s->old_bytes[i] = *fake_at(fuzz_world(), s->addr.v + i);
	if (!vp_insn_decode(s->old_bytes, VP_INSN_MAX, s->addr, &insn, NULL))
		s->len = insn.len;
	s->resume = (enum vp_resume)(shape & 3);
	if (shape & 4)
		s->len = (uint8_t)fuzz_take(in, 1);
	if (shape & 8)
		s->old_bytes[fuzz_take(in, 1) % VP_INSN_MAX] ^= (uint8_t)fuzz_take(in, 1);
	if (s->resume == VP_RESUME_FIXUP)
		s->fixup = VP_GVA(take_address(in));
	take_new(in, s, shape >> 4 & 3);
}

static void take_batch(struct fuzz_in *in, struct batch *b)
{
	unsigned int how = (unsigned int)fuzz_take(in, 1);

	*b = (struct batch){ .opts = VP_POKE_OPTS_INIT };
	b->opts.strategy = how & 1 ? VP_STRATEGY_STOP : VP_STRATEGY_INT3;
	b->fail_sync = how >> 1 & 7;
	b->cannot_arm = (how >> 4 & 15) == 14;
	b->cannot_stop = (how >> 4 & 15) == 15;
	b->n = fuzz_take(in, 1) % (SITES_MAX + 1);
	for (size_t i = 0; i < b->n; i++)
		take_site(in, &b->sites[i]);
}

/* --- what must hold ---------------------------------------------------------- */

/* While a batch is in flight the int3 on a site of ours is never given to the guest. */
static void ask_for_traps(struct fake *f, const char *op)
{
	const struct batch *b = f->hook_arg;

	if (strcmp(op, "sync"))
		return;
	for (size_t i = 0; i < b->n; i++) {
		uint64_t at = b->sites[i].addr.v;
		struct vp_regs regs = { .gpr[VP_RSP] = FAKE_DATA + 0x800, .rflags = 2 };

		if (*fake_at(f, at) != VP_INT3)
			continue;
		FUZZ_CHECK(fake_trap(f, at, &regs) != VP_VERDICT_FOREIGN);
	}
}

/* A call that is emulated pushes its return address: not a byte of the text. */
static void forget_stack(struct fake *f)
{
	memset(fake_at(f, FAKE_DATA + 0x800 - 8), 0, 8);
}

/* What a plan lets pass: whole instructions that stand in text, no two of them on one byte. */
static void check_applied(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct vp_site *s = &b->sites[i];
		struct vp_insn insn;

		FUZZ_CHECK(s->len >= 1 && s->len <= VP_INSN_MAX);
		FUZZ_CHECK(s->old_bytes[0] != VP_INT3 && s->new_bytes[0] != VP_INT3);
		FUZZ_CHECK(!vp_insn_decode(s->old_bytes, s->len, s->addr, &insn, NULL));
		FUZZ_CHECK(insn.len == s->len);
		FUZZ_CHECK(!vp_insn_decode(s->new_bytes, s->len, s->addr, &insn, NULL));
		FUZZ_CHECK(insn.len == s->len);
		FUZZ_CHECK(fuzz_world_is_text(s->addr.v));
		FUZZ_CHECK(fuzz_world_is_text(s->addr.v + s->len - 1u));
		FUZZ_CHECK(s->resume != VP_RESUME_FIXUP || fuzz_world_is_text(s->fixup.v));
	}
	FUZZ_CHECK(fuzz_world_holds(b->sites, b->n));
}

static int dry_run(struct vp_engine *e, const struct batch *b)
{
	struct vp_poke_opts opts = b->opts;
	struct vp_poke_result res;
	struct vp_err err = { "" };
	int rc;

	opts.dry_run = true;
	rc = vp_poke(e, b->sites, b->n, &opts, &res, &err);
	FUZZ_CHECK(rc <= 0 && !rc == !err.text[0]);
	FUZZ_CHECK(rc ? res.bad_site < (ptrdiff_t)b->n : res.id == 0 && res.sites == b->n);
	FUZZ_CHECK(fuzz_world_holds(NULL, 0));
	return rc;
}

static int run(struct fake *f, struct vp_engine *e, struct batch *b)
{
	struct vp_poke_result res;
	struct vp_err err = { "" };
	int rc;

	f->syncs = 0;
	f->fail_sync = (int)b->fail_sync;
	f->arm_rc = b->cannot_arm ? -ETIMEDOUT : 0;
	f->stop_rc = b->cannot_stop ? -ETIMEDOUT : 0;
	f->hook = ask_for_traps;
	f->hook_arg = b;
	rc = vp_poke(e, b->sites, b->n, &b->opts, &res, &err);
	FUZZ_CHECK(rc <= 0 && !rc == !err.text[0] && !f->locked && !f->held && !f->stopped);
	FUZZ_CHECK(rc || (res.id && res.sites == b->n && res.syncs <= 3));
	f->hook = NULL;
	f->fail_sync = f->arm_rc = f->stop_rc = 0;
	forget_stack(f);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct fake *f = fuzz_world();
	struct vp_engine *e = fuzz_world_engine();
	struct batch b;
	int planned, rc;

	take_batch(&in, &b);
	planned = dry_run(e, &b);
	rc = run(f, e, &b);
	if (planned)
		FUZZ_CHECK(rc == planned);
	else
		FUZZ_CHECK(!rc || b.fail_sync || b.cannot_arm || b.cannot_stop);
	if (rc) {
		FUZZ_CHECK(fuzz_world_holds(NULL, 0));
		FUZZ_CHECK(vp_revert(e, 0, NULL, NULL, NULL) == -ENOENT);
	} else {
		check_applied(&b);
		FUZZ_CHECK(!vp_revert(e, 0, NULL, NULL, NULL));
		FUZZ_CHECK(fuzz_world_holds(NULL, 0));
	}
	vp_engine_free(e);
	return 0;
}
