/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ftrace (kernel/trace/ftrace.c): most functions begin with a nop that it makes a call of, for the
 * function tracer, kprobes, BPF, livepatch. It has a record of each, and compares what it replaces:
 * where other bytes stand it gives up tracing for good. But a record with FTRACE_FL_DISABLED it
 * leaves alone.
 *
 * So a poke over such a nop sets that flag with it, and its revert clears it. Neither may be done
 * while something is attached to the function, which ftrace has counted or not by that very flag:
 * so only while nothing at all is attached, and its locks are free, with every vCPU held.
 */
#include "linux/owner_ftrace.h"

#include "linux/view.h"
#include "x86/decode.h"

#include <errno.h>
#include <stdlib.h>

#define NOP_LEN	    5u
#define PAGES_MAX   (1u << 12) /* 10 times what a kernel with all its modules has */
#define RECORDS_MAX (1u << 20) /* of a page */
#define PAGE_MAX    0x100u     /* bytes of struct ftrace_page, which has 24 to 32 */
#define REC_MAX	    0x100u     /* of struct dyn_ftrace, which has 16 */
#define ENDBR_LEN   4u

static int changes(struct vp_err *err)
{
	return vp_err_set(err, -EAGAIN,
			  "ftrace's list of records makes no sense, or changes; try again");
}

static int take_rec(const struct vp_owner_layout *y, const struct vp_blob *b, uint64_t i,
		    uint64_t *ip, uint64_t *flags)
{
	const struct vp_blob rec = vp_blob_from(b, i * y->rec_size);

	return vp_blob_u64(&rec, y->rec_ip, ip) && vp_blob_u64(&rec, y->rec_flags, flags) ? 0
											  : -EAGAIN;
}

static int read_rec(const struct vp_owners *o, const struct vp_ftrace_page *p, uint32_t i,
		    uint64_t *ip, uint64_t *flags)
{
	const struct vp_owner_layout *y = &o->l->owners_at;
	uint8_t raw[REC_MAX];
	const struct vp_blob b = { raw, y->rec_size, p->records + (uint64_t)i * y->rec_size };

	return y->rec_size > REC_MAX ||
			       vp_kernel_mem_read(&o->l->mem, VP_GVA(b.base), raw, b.len, NULL)
		       ? -EAGAIN
		       : take_rec(y, &b, 0, ip, flags);
}

static int add_page(struct vp_owners *o, struct vp_ftrace_page p, struct vp_err *err)
{
	size_t n = o->npages;
	uint64_t flags;
	void *more;

	if (p.n > RECORDS_MAX || read_rec(o, &p, 0, &p.first, &flags) ||
	    read_rec(o, &p, p.n - 1, &p.last, &flags))
		return changes(err);
	if (!(n & (n - 1))) { /* it is full: there is room for a power of two */
		more = reallocarray(o->pages, n ? 2 * n : 1, sizeof(*o->pages));
		if (!more)
			return vp_err_set(err, -ENOMEM, "out of memory for ftrace's records");
		o->pages = more;
	}
	o->pages[o->npages++] = p;
	return 0;
}

/* Follow the pages of records from @at on. */
static int read_pages(struct vp_owners *o, uint64_t at, struct vp_err *err)
{
	const struct vp_owner_layout *y = &o->l->owners_at;
	uint8_t raw[PAGE_MAX];
	int rc = 0;

	if (y->page_size > PAGE_MAX)
		return vp_err_set(err, -EOPNOTSUPP, "struct ftrace_page is not as it is known");
	for (unsigned int i = 0; at && !rc; i++) {
		const struct vp_blob b = { raw, y->page_size, at };
		struct vp_ftrace_page p = { 0 };

		if (!(at >> 63) || i >= PAGES_MAX ||
		    vp_kernel_mem_read(&o->l->mem, VP_GVA(at), raw, b.len, NULL) ||
		    !vp_blob_u64(&b, y->page_next, &at) ||
		    !vp_blob_u64(&b, y->page_records, &p.records) ||
		    !vp_blob_u32(&b, y->page_index, &p.n))
			return changes(err);
		if (p.n)
			rc = add_page(o, p, err);
	}
	return rc;
}

int vp_ftrace_read(struct vp_owners *o, struct vp_err *err)
{
	uint64_t first = 0;
	vp_gva symbol;

	if (!vp_linux_find(o->l, "ftrace_pages_start", &symbol))
		return !o->l->owners_at.rec_size
			       ? 0
			       : vp_err_set(
					 err, -EOPNOTSUPP,
					 "the kernel's symbols do not tell where ftrace's records "
					 "are");
	if (!o->l->owners_at.rec_size)
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's type information does not tell what ftrace's "
				  "records are");
	if (vp_kernel_mem_read(&o->l->mem, symbol, &first, sizeof(first), err))
		return -EFAULT;
	return read_pages(o, first, err);
}

/* --- one site ------------------------------------------------------------------- */

struct record {
	uint64_t at, ip, flags; /* at: where it is */
};

/* From here on all that are left are read at once. */
#define FEW 256u

/* The last record at or below @addr of those from @lo up to @hi. -EAGAIN. */
static int search_few(const struct vp_owners *o, const struct vp_ftrace_page *p, uint32_t lo,
		      uint32_t hi, uint64_t addr, struct record *out)
{
	const struct vp_owner_layout *y = &o->l->owners_at;
	uint64_t start = p->records + (uint64_t)lo * y->rec_size;
	struct vp_view view = { 0 };
	struct record next = { .at = start };
	int rc = vp_view_fill(o->l, &view, start, (size_t)(hi - lo) * y->rec_size) ? 0 : -EAGAIN;

	for (uint32_t i = 0; i < hi - lo && !rc; i++) {
		next.at = start + (uint64_t)i * y->rec_size;
		rc = take_rec(y, &view.blob, i, &next.ip, &next.flags);
		if (rc || (i && next.ip > addr))
			break;
		*out = next;
	}
	vp_view_free(&view);
	return rc;
}

/* The last record at or below @addr on a page. -EAGAIN. */
static int search_page(const struct vp_owners *o, const struct vp_ftrace_page *p, uint64_t addr,
		       struct record *out)
{
	uint32_t lo = 0, hi = p->n;

	while (hi - lo > FEW) {
		uint32_t mid = lo + (hi - lo) / 2;
		uint64_t ip, flags;

		if (read_rec(o, p, mid, &ip, &flags))
			return -EAGAIN;
		if (ip <= addr)
			lo = mid;
		else
			hi = mid;
	}
	return search_few(o, p, lo, hi, addr, out);
}

/* The record whose nop has bytes in common with the site. 1: found. */
static int find_record(const struct vp_owners *o, const struct vp_site *s, struct record *out)
{
	uint64_t end = s->addr.v + s->len - 1;

	for (size_t i = 0; i < o->npages; i++) {
		const struct vp_ftrace_page *p = &o->pages[i];

		if (end < p->first || s->addr.v >= p->last + NOP_LEN)
			continue;
		if (search_page(o, p, end, out))
			return -EAGAIN;
		if (vp_span_meets(out->ip, NOP_LEN, s))
			return 1;
	}
	return 0;
}

static bool is_nop5_of(const struct vp_site *s, const uint8_t *bytes)
{
	struct vp_insn insn;

	return s->len == NOP_LEN && !vp_insn_decode(bytes, s->len, s->addr, &insn, NULL) &&
	       insn.len == NOP_LEN && insn.kind == VP_INSN_NOP;
}

static bool is_nop5(const struct vp_site *s)
{
	return is_nop5_of(s, s->old_bytes);
}

/* Where the record of a nop would be: at a function's first byte, or behind its endbr64, sealed or
 * not. */
static bool is_entry(const struct vp_linux *l, vp_gva addr)
{
	static const uint8_t endbr[][ENDBR_LEN] = { { 0xf3, 0x0f, 0x1e, 0xfa },
						    { 0x66, 0x0f, 0x1f, 0x00 },
						    { 0x0f, 0x1f, 0x40, 0xd6 } };
	uint8_t before[ENDBR_LEN];
	uint64_t offset;

	if (!vp_linux_nearest(l, addr, &offset) || (offset && offset != ENDBR_LEN))
		return false;
	if (!offset)
		return true;
	if (vp_kernel_mem_read(&l->mem, VP_GVA(addr.v - ENDBR_LEN), before, ENDBR_LEN, NULL))
		return false;
	for (size_t i = 0; i < sizeof(endbr) / sizeof(endbr[0]); i++)
		if (!memcmp(before, endbr[i], ENDBR_LEN))
			return true;
	return false;
}

/* In its own assembler code ftrace rewrites calls, too. */
static int ask_glue(const struct vp_linux *l, const struct vp_site *s, struct vp_err *err)
{
	static const char *const calls[] = { "ftrace_call", "ftrace_regs_call", "ftrace_graph_call",
					     "ftrace_graph_regs_call" };
	vp_gva at;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (vp_linux_find(l, calls[i], &at) && vp_span_meets(at.v, NOP_LEN, s))
			return vp_err_set(err, -EBUSY, "ftrace rewrites its %s itself", calls[i]);
	return 0;
}

/* Who is attached to a function, by the flags of its record. */
static int attached(const struct vp_owner_layout *y, uint64_t flags, struct vp_err *err)
{
	if (flags & y->fl_direct)
		return vp_err_set(
			err, -EBUSY,
			"it is a function's entry, and a direct call is attached to it (a "
			"BPF trampoline, say); have it detached first");
	if (flags & y->fl_ipmodify)
		return vp_err_set(
			err, -EBUSY,
			"it is a function's entry that is redirected already: a livepatch, "
			"or a kprobe that changes where it goes on; have it removed first");
	return vp_err_set(err, -EBUSY,
			  "it is a function's entry that the guest traces now (a tracer, a kprobe, "
			  "BPF; flags 0x%llx); have that stopped first",
			  (unsigned long long)flags);
}

/* Nothing is attached anywhere. */
static int require_unused(struct vp_owners *o, struct vp_err *err)
{
	static const char *const locks[] = { "ftrace_lock", "text_mutex", "jump_label_mutex" };
	uint64_t first = 0;
	vp_gva list, end;
	int rc = 0;

	if (!vp_linux_find(o->l, "ftrace_ops_list", &list) ||
	    !vp_linux_find(o->l, "ftrace_list_end", &end))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols do not tell whether ftrace is in use");
	rc = vp_kernel_mem_read(&o->l->mem, list, &first, sizeof(first), err);
	if (!rc && first != end.v)
		rc = vp_err_set(
			err, o->force ? -EBUSY : -EAGAIN,
			"ftrace is in use (ftrace_ops_list: a tracer, a livepatch, BPF): only "
			"while it is not can a function's entry be taken from it or given "
			"back");
	if (!rc)
		rc = vp_word_list_require(&o->words, list, end.v, err);
	for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]) && !rc; i++)
		rc = vp_lock_require(o->l, locks[i], &o->words, err);
	return rc;
}

/* The record stays that function's, and gets the flag; or loses it. */
static int take(struct vp_owners *o, const struct record *r, bool back, struct vp_err *err)
{
	const struct vp_owner_layout *y = &o->l->owners_at;
	uint32_t flags = (uint32_t)r->flags, disabled = y->fl_disabled;
	int rc = require_unused(o, err);

	if (!rc)
		rc = vp_word_list_require(&o->words, VP_GVA(r->at + y->rec_ip), r->ip, err);
	if (!rc)
		rc = vp_word_list_add(&o->words,
				      (struct vp_word){ VP_GVA(r->at + y->rec_flags), flags,
							back ? flags & ~disabled
							     : flags | disabled },
				      err);
	o->stop = true;
	return rc;
}

static int ask_record(struct vp_owners *o, const struct vp_site *s, const struct record *r,
		      struct vp_err *err)
{
	const struct vp_owner_layout *y = &o->l->owners_at;
	uint64_t flags = r->flags & ~(uint64_t)(y->fl_touched | y->fl_modified);

	if (s->addr.v != r->ip || s->len != NOP_LEN)
		return vp_err_set(
			err, -EBUSY,
			"it is a part of the %u bytes at 0x%llx that are ftrace's; poke all "
			"of them",
			NOP_LEN, (unsigned long long)r->ip);
	/* Another poke has taken it, and stands: what is written over that is no matter of
	 * ftrace's.
	 */
	if (flags == y->fl_disabled && !is_nop5(s))
		return o->back && is_nop5_of(s, s->new_bytes) ? take(o, r, true, err) : 0;
	if (flags & y->fl_disabled)
		return vp_err_set(err, -EBUSY,
				  "it is a function's entry that ftrace itself has disabled: for "
				  "what reason cannot be told");
	if (flags)
		return attached(y, flags, err);
	if (!is_nop5(s))
		return vp_err_set(
			err, -EBUSY,
			"it is a function's entry, but not ftrace's nop stands there, and "
			"ftrace does not know");
	return take(o, r, false, err);
}

int vp_ftrace_ask(struct vp_owners *o, const struct vp_site *s, struct vp_err *err)
{
	struct record r = { 0 };
	int rc;

	if (!o->l->owners_at.rec_size)
		return 0;
	rc = ask_glue(o->l, s, err);
	if (rc)
		return rc;
	rc = find_record(o, s, &r);
	if (rc < 0)
		return changes(err);
	if (rc)
		return ask_record(o, s, &r, err);
	if (is_nop5(s) && is_entry(o->l, s->addr))
		return vp_err_set(
			err, -EBUSY,
			"it is the nop of a function's entry, but ftrace has no record of "
			"it: whose it is cannot be told (a BPF dispatcher's, say)");
	return 0;
}
