/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel has found out of its CPU, and how it has patched itself for it: what code must
 * know that is linked against it.
 */
#include "linux/internal.h"

#include <errno.h>

#define BUG_WORDS_MAX 4u
#define FLAGS_WORD    256u /* bytes of names for the 32 bits of a word */
/* X86_FEATURE_*, arch/x86/include/asm/cpufeatures.h */
#define FEATURE_RETHUNK (11u * 32 + 14)
#define FEATURE_IBT	(18u * 32 + 20)

/* The first symbol behind @addr. */
struct behind {
	uint64_t addr, next;
};

static int take_next(void *arg, const char *name, vp_gva addr)
{
	struct behind *b = arg;

	(void)name;
	if (addr.v <= b->addr)
		return 0;
	b->next = addr.v;
	return 1;
}

/*
 * NBUGINTS, by the array x86_bug_flags of 32 names a word; and NCAPINTS by the words that have
 * names in an enum. The latter may miss words at the end, so the first is asked first.
 */
static unsigned int bug_words(const struct vp_linux *l)
{
	const struct vp_cpu_layout *y = &l->cpu_at;
	struct behind b = { 0 };
	vp_gva at;

	if (vp_linux_find(l, "x86_bug_flags", &at)) {
		b.addr = at.v;
		vp_symtab_each(l->symbols, take_next, &b);
		if (b.next > b.addr && (b.next - b.addr) % FLAGS_WORD == 0 &&
		    (b.next - b.addr) / FLAGS_WORD <= BUG_WORDS_MAX)
			return (unsigned int)((b.next - b.addr) / FLAGS_WORD);
	}
	if (y->cap_words && y->words > y->cap_words && y->words - y->cap_words <= BUG_WORDS_MAX)
		return y->words - y->cap_words;
	return 0;
}

static int read_caps(struct vp_linux *l, struct vp_linux_features *out, struct vp_err *err)
{
	const struct vp_cpu_layout *y = &l->cpu_at;
	unsigned int bugs = bug_words(l);
	vp_gva at;

	_Static_assert(VP_CPU_WORDS_MAX == VP_LINUX_CAPS_MAX, "two names of one bound");
	if (!y->words || !bugs || bugs >= y->words || y->words - bugs < y->cap_words ||
	    !vp_linux_find(l, "boot_cpu_data", &at))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols and type information do not tell what its "
				  "CPU can do");
	out->nwords = y->words;
	out->ncaps = y->words - bugs;
	return vp_kernel_mem_read(&l->mem, VP_GVA(at.v + y->caps), out->words,
				  y->words * sizeof(out->words[0]), err);
}

/* Where a jmp at the start of @at leads, or @at itself. */
static int follow_jmp(const struct vp_linux *l, vp_gva at, vp_gva *out, struct vp_err *err)
{
	uint8_t raw[5];
	const struct vp_blob b = { raw, sizeof(raw), at.v };
	uint32_t rel = 0;
	int rc = vp_kernel_mem_read(&l->mem, at, raw, sizeof(raw), err);

	*out = at;
	if (!rc && raw[0] == 0xe9 && vp_blob_u32(&b, 1, &rel))
		*out = VP_GVA(at.v + 5 + (uint64_t)(int64_t)(int32_t)rel);
	return rc;
}

static bool cpu_has(const struct vp_linux_features *f, unsigned int bit)
{
	return bit / 32 < f->ncaps && f->words[bit / 32] >> bit % 32 & 1;
}

/*
 * Since 5.19 (and in the stable kernels of then) boot writes into each return a jmp to what this
 * variable says; or a plain ret, for a CPU that needs none: the thunk that the variable names then
 * warns of who comes there (since 6.9, "Unpatched return thunk in use").
 */
static int read_thunk(struct vp_linux *l, struct vp_linux_features *out, struct vp_err *err)
{
	bool code = false, boot_writes;
	vp_gva at;
	int rc = vp_linux_variable(l, "x86_return_thunk", &out->return_thunk.v,
				   sizeof(out->return_thunk.v), err);

	boot_writes = !rc;
	if (rc == -ENOENT) {
		if (!vp_linux_find(l, "__x86_return_thunk", &at))
			return 0;
		rc = follow_jmp(l, at, &out->return_thunk, err);
	}
	if (!rc)
		rc = vp_kernel_mem_is_code(&l->mem, out->return_thunk, &code, err);
	if (!rc && !code)
		rc = vp_err_set(err, -EBADMSG, "the kernel's return thunk is no code: 0x%llx",
				(unsigned long long)out->return_thunk.v);
	if (!rc && boot_writes && !cpu_has(out, FEATURE_RETHUNK))
		out->return_thunk = VP_GVA(0);
	return rc;
}

/* Calls are counted for a CPU whose return stack must not run empty (callthunks.c). */
static int read_call_depth(struct vp_linux *l, struct vp_linux_features *out, struct vp_err *err)
{
	static const char *const counting[] = { "__x86_return_skl", "call_depth_return_thunk" };
	uint8_t done = 0;
	vp_gva at;
	int rc = vp_linux_variable(l, "thunks_initialized", &done, sizeof(done), err);

	if (rc && rc != -ENOENT)
		return rc;
	out->call_depth = !rc && done;
	for (size_t i = 0; i < sizeof(counting) / sizeof(counting[0]); i++)
		if (vp_linux_find(l, counting[i], &at) && at.v == out->return_thunk.v)
			out->call_depth = true;
	return 0;
}

/* With kCFI a symbol of each function's hash stands before it; FineIBT is made of that. */
static int is_cfi_symbol(void *arg, const char *name, vp_gva addr)
{
	(void)arg;
	(void)addr;
	return !strncmp(name, "__cfi_", 6);
}

int vp_linux_features_read(struct vp_linux *l, struct vp_linux_features *out, struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc;

	memset(out, 0, sizeof(*out));
	rc = read_caps(l, out, &why);
	if (!rc)
		rc = read_thunk(l, out, &why);
	if (!rc)
		rc = read_call_depth(l, out, &why);
	if (rc)
		return vp_err_set(err, rc, "%s", why.text);
	out->ibt = cpu_has(out, FEATURE_IBT);
	out->cfi = vp_symtab_each(l->symbols, is_cfi_symbol, NULL);
	return 0;
}

int vp_linux_key_count(struct vp_linux *l, vp_gva addr, int32_t *count, bool *sealed,
		       struct vp_err *err)
{
	*sealed = vp_kernel_mem_is_sealed(&l->mem, addr);
	return vp_kernel_mem_read(&l->mem, addr, count, sizeof(*count), err);
}
