/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

static struct fake *fake_of(struct vp_target *t)
{
	return (struct fake *)(void *)t;
}

static void trace(struct fake *f, const char *op)
{
	size_t used = strlen(f->trace);

	if (f->hook)
		f->hook(f, op);
	if (used + strlen(op) + 2 > sizeof(f->trace))
		return;
	if (used)
		strcat(f->trace, " ");
	strcat(f->trace, op);
}

static int op_lock(struct vp_target *t, struct vp_err *err)
{
	if (fake_of(t)->locked && fake_of(t)->expects_deadlock)
		return vp_err_set(err, -EDEADLK, "locked already");
	assert(!fake_of(t)->locked);
	fake_of(t)->locked = true;
	return 0;
}

static void op_unlock(struct vp_target *t)
{
	assert(fake_of(t)->locked && !fake_of(t)->held && !fake_of(t)->stopped);
	fake_of(t)->locked = false;
}

static int op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	if (gpa.v >= FAKE_RAM || len > FAKE_RAM - gpa.v)
		return vp_err_set(err, -EFAULT, "not RAM");
	fake_of(t)->reads++;
	if (fake_of(t)->on_read)
		fake_of(t)->on_read(fake_of(t), gpa);
	memcpy(buf, fake_of(t)->ram + gpa.v, len);
	return 0;
}

static int op_check_write(struct vp_target *t, vp_gpa gpa, size_t len, struct vp_err *err)
{
	const struct fake *f = fake_of(t);

	if (f->rom_len && gpa.v < f->rom + f->rom_len && f->rom < gpa.v + len)
		return vp_err_set(err, -EROFS, "read-only");
	return 0;
}

static int op_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		    struct vp_err *err)
{
	if (gpa.v >= FAKE_RAM || len > FAKE_RAM - gpa.v)
		return vp_err_set(err, -EFAULT, "not RAM");
	if (op_check_write(t, gpa, len, err))
		return -EROFS;
	trace(fake_of(t), "write");
	if (fake_of(t)->fail_write && !--fake_of(t)->writes_left) {
		fake_of(t)->writes_left = fake_of(t)->write_stays_broken ? 1 : 0;
		memcpy(fake_of(t)->ram + gpa.v, buf, 1); /* some of it arrived */
		return vp_err_set(err, -EIO, "write failed");
	}
	memcpy(fake_of(t)->ram + gpa.v, buf, len);
	return 0;
}

static int op_read_pieces(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			  struct vp_err *err)
{
	struct fake *f = fake_of(t);
	unsigned int reads = f->reads;
	int rc = 0;

	f->piece_reads++;
	if (f->fail_pieces)
		return vp_err_set(err, -EIO, "not many at once");
	for (size_t i = 0; i < n && !rc; i++)
		rc = op_read(t, pieces[i].gpa, pieces[i].into, pieces[i].len, err);
	f->reads = reads;
	return rc;
}

static int op_write_pieces(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			   struct vp_err *err)
{
	int rc = 0;

	assert(fake_of(t)->stopped);
	trace(fake_of(t), "pieces:");
	for (size_t i = 0; i < n && !rc; i++)
		rc = op_write(t, pieces[i].gpa, pieces[i].from, pieces[i].len, err);
	return rc;
}

static int op_swap_head(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			struct vp_err *err)
{
	struct fake *f = fake_of(t);

	assert(f->locked && gpa.v < FAKE_RAM);
	trace(f, value == VP_INT3 ? "cap" : "head");
	if (op_check_write(t, gpa, 1, err))
		return -EROFS;
	if (f->ram[gpa.v] != expect)
		return vp_err_set(err, -EAGAIN, "changed");
	f->ram[gpa.v] = value;
	return 0;
}

/* Without @whole as a target that can only swap single bytes. */
static int op_swap_bytes(struct vp_target *t, vp_gpa gpa, const uint8_t *expect,
			 const uint8_t *value, size_t len, struct vp_err *err)
{
	struct fake *f = fake_of(t);

	assert(f->locked && gpa.v + len <= FAKE_RAM && len <= VP_INSN_MAX);
	if (!f->whole)
		return vp_err_set(err, -EOPNOTSUPP, "not at once");
	trace(f, value[0] != VP_INT3 ? "head" : expect[0] != VP_INT3 ? "cap" : "tail");
	if (op_check_write(t, gpa, len, err))
		return -EROFS;
	if (memcmp(f->ram + gpa.v, expect, len))
		return vp_err_set(err, -EAGAIN, "changed");
	memcpy(f->ram + gpa.v, value, len);
	return 0;
}

static int op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			struct vp_err *err)
{
	struct fake *f = fake_of(t);

	assert(f->locked && gpa.v < FAKE_RAM && gpa.v % 4 == 0);
	trace(f, "word");
	if (memcmp(f->ram + gpa.v, &expect, 4))
		return vp_err_set(err, -EAGAIN, "changed");
	memcpy(f->ram + gpa.v, &value, 4);
	return 0;
}

static int op_ram(struct vp_target *t, int (*fn)(void *arg, vp_gpa start, uint64_t len), void *arg,
		  struct vp_err *err)
{
	(void)t;
	(void)err;
	return fn(arg, VP_GPA(0), FAKE_RAM);
}

static int op_writable(struct vp_target *t, struct vp_err *err)
{
	int rc = fake_of(t)->writable_rc;

	return rc ? vp_err_set(err, rc, "not writable now") : 0;
}

static int op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	if (vcpu >= 0 && vcpu != fake_of(t)->vcpu)
		return vp_err_set(err, vcpu > fake_of(t)->vcpu ? -ERANGE : -ENOENT, "no such vCPU");
	fake_of(t)->held = true;
	*state = (struct vp_vcpu_state){ .paging = fake_of(t)->paging,
					 .code64 = !fake_of(t)->compat,
					 .nested = fake_of(t)->nested,
					 .cs_base = fake_of(t)->cs_base };
	state->regs.rip = fake_of(t)->rip;
	return 0;
}

static void op_release(struct vp_target *t)
{
	assert(fake_of(t)->held);
	fake_of(t)->held = false;
}

static int op_arm(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct fake *f = fake_of(t);

	(void)timeout_ms;
	trace(f, "arm");
	if (f->arm_rc)
		return vp_err_set(err, f->arm_rc, "cannot arm");
	f->armed = true;
	return 0;
}

static void op_disarm(struct vp_target *t)
{
	trace(fake_of(t), "disarm");
	fake_of(t)->armed = false;
}

static int op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		   struct vp_err *err)
{
	struct fake *f = fake_of(t);

	(void)timeout_ms;
	f->sync_what = what;
	trace(f, "sync");
	f->syncs++;
	if (f->fail_sync &&
	    ((int)f->syncs == f->fail_sync || (f->never_answers && (int)f->syncs > f->fail_sync)))
		return vp_err_set(err, -ETIMEDOUT, "vCPU 0 did not answer");
	return 0;
}

static int op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	(void)timeout_ms;
	(void)err;
	trace(fake_of(t), "quiesce");
	return 0;
}

static void op_unpark(struct vp_target *t)
{
	trace(fake_of(t), "unpark");
	fake_of(t)->unparks++;
}

static int op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct fake *f = fake_of(t);

	(void)timeout_ms;
	trace(f, "stop");
	if (f->stop_rc)
		return vp_err_set(err, f->stop_rc, "cannot stop");
	f->stopped = true;
	return 0;
}

static void op_resume(struct vp_target *t)
{
	trace(fake_of(t), "resume");
	fake_of(t)->stopped = false;
}

static void op_abandon(struct vp_target *t)
{
	trace(fake_of(t), "abandon");
	fake_of(t)->stopped = false;
}

static const struct vp_target_ops fake_ops = {
	.name = "fake",
	.lock = op_lock,
	.unlock = op_unlock,
	.read = op_read,
	.write = op_write,
	.swap_head = op_swap_head,
	.swap_bytes = op_swap_bytes,
	.swap_word = op_swap_word,
	.ram = op_ram,
	.writable = op_writable,
	.check_write = op_check_write,
	.hold = op_hold,
	.release = op_release,
	.arm = op_arm,
	.disarm = op_disarm,
	.sync = op_sync,
	.quiesce = op_quiesce,
	.unpark = op_unpark,
	.stop = op_stop,
	.resume = op_resume,
	.abandon = op_abandon,
};

/* --- memory ------------------------------------------------------------------ */

#define PML4  0x1000u
#define PDPT  0x2000u
#define PD    0x3000u
#define PT    0x4000u
#define FLAGS 0x63ull /* present, writable, accessed, dirty */
#define NX    (1ull << 63)

static void put(struct fake *f, uint64_t gpa, uint64_t value)
{
	memcpy(f->ram + gpa, &value, sizeof(value));
}

static void map_page(struct fake *f, uint64_t gva, uint64_t gpa, uint64_t flags)
{
	put(f, PT + 8 * ((gva >> 12) & 511), gpa | flags);
}

struct fake *fake_new(void)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert(f);
	f->target.ops = &fake_ops;
	f->paging =
		(struct vp_paging){ .cr0 = 0x80000001, .cr3 = PML4, .cr4 = 0x20, .efer = 0xd01 };
	put(f, PML4 + 8 * 511, PDPT | FLAGS);
	put(f, PDPT + 8 * 510, PD | FLAGS);
	put(f, PD, PT | FLAGS);
	for (uint64_t i = 0; i < 16; i++) {
		map_page(f, FAKE_TEXT + i * 0x1000, 0x40000 + i * 0x1000, FLAGS);
		map_page(f, FAKE_DATA + i * 0x1000, 0x60000 + i * 0x1000, FLAGS | NX);
	}
	map_page(f, FAKE_SPLIT, 0x80000, FLAGS);
	map_page(f, FAKE_SPLIT + 0x1000, 0x90000, FLAGS);
	map_page(f, FAKE_ALIAS, 0x40000, FLAGS);
	map_page(f, FAKE_HOLE, 0x40000000, FLAGS);
	memset(f->ram + 0x40000, 0x90, 0x10000);
	memset(f->ram + 0x80000, 0x90, 0x1000);
	memset(f->ram + 0x90000, 0x90, 0x1000);
	return f;
}

void fake_take_pieces(struct fake *f)
{
	f->ops = fake_ops;
	f->ops.read_pieces = op_read_pieces;
	f->ops.write_pieces = op_write_pieces;
	f->target.ops = &f->ops;
}

void fake_free(struct fake *f)
{
	free(f);
}

uint8_t *fake_at(struct fake *f, uint64_t gva)
{
	uint64_t pte;

	memcpy(&pte, f->ram + PT + 8 * ((gva >> 12) & 511), sizeof(pte));
	assert(pte & 1);
	return f->ram + (pte & 0xffffff000) + (gva & 0xfff);
}

void fake_unmap(struct fake *f, uint64_t gva)
{
	map_page(f, gva, 0, 0);
}

enum vp_verdict fake_trap(struct fake *f, uint64_t gva, struct vp_regs *regs)
{
	struct vp_trap trap = {
		.rip = VP_GVA(gva), .paging = f->paging, .code64 = !f->compat, .nested = f->nested
	};
	enum vp_verdict v;

	if (regs)
		trap.regs = *regs;
	trap.regs.rip = gva;
	if (!f->target.sink.handle)
		return VP_VERDICT_FOREIGN;
	v = f->target.sink.handle(f->target.sink.arg, &trap);
	if (regs)
		*regs = trap.regs;
	return v;
}

struct vp_site fake_site(uint64_t gva, const char *old_bytes, const char *new_bytes, size_t len,
			 enum vp_resume resume)
{
	struct vp_site s = { .addr = VP_GVA(gva), .len = (uint8_t)len, .resume = resume };

	assert(len <= VP_INSN_MAX);
	memcpy(s.old_bytes, old_bytes, len);
	memcpy(s.new_bytes, new_bytes, len);
	return s;
}

struct vp_site fake_jmp_at(uint64_t gva, enum vp_resume resume)
{
	struct vp_site s = fake_site(gva, NOP5, JMP5, 5, resume);

	s.fixup = VP_GVA(gva + 5);
	return s;
}

int fake_world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	w->fake = fake_new();
	memcpy(fake_at(w->fake, A), NOP5, 5);
	memcpy(fake_at(w->fake, B), NOP5, 5);
	*state = w;
	return vp_engine_new(&w->fake->target, &w->engine, NULL);
}

int fake_world_teardown(void **state)
{
	struct world *w = *state;

	w->fake->hook = NULL;
	w->fake->fail_sync = w->fake->writable_rc = 0;
	w->fake->never_answers = w->fake->fail_write = false;
	assert(!vp_engine_free(w->engine));
	fake_free(w->fake);
	free(w);
	return 0;
}
