/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/digest.h"

#include <errno.h>
#include <string.h>

#include "x86/decode.h"

struct code {
	const uint8_t *bytes;
	size_t size;
	uint64_t addr;
};

/* How far user space goes, with 4 levels of page tables and with 5. */
#define USER_MAX   0x7ffffffff000
#define USER_MAX_5 0xfffffffffff000

/*
 * The kernel's image and its modules lie there, and small negative numbers do not. Of 8 bytes: or
 * how far into that space one lies; a compiler has shorter instructions for a small number.
 */
static bool is_address(int64_t value, size_t len)
{
	if (len == 4)
		return (uint32_t)value >= 0x80000000 && (uint32_t)value < 0xff000000;
	return len == 8 &&
	       (((uint64_t)value >= 0xffffffff80000000 && (uint64_t)value < 0xffffffffff000000) ||
		(uint64_t)value < 0x80000000 || value == USER_MAX || value == USER_MAX_5);
}

/* mov r64, imm32, its sign extended: for a number that is not negative there is a shorter one. */
static bool is_distance(const uint8_t *bytes, int64_t imm)
{
	return (bytes[0] & 0xfe) == 0x48 && bytes[1] == 0xc7 && (bytes[2] & 0xf8) == 0xc0 &&
	       imm >= 0;
}

/*
 * Places of a fixed text. A return; the `xor %eax,%eax` of a static call, and the ud1 (%edx),%rdi
 * of one that warns; and what depends on the CPU: popcnt for a call, three ways to read the TSC,
 * stac and clac for a nop.
 */
static size_t known(const uint8_t *p, size_t left)
{
	static const struct {
		size_t len;
		const char *bytes;
	} places[] = {
		{ 5, "\xc3\xcc\xcc\xcc\xcc" }, { 5, "\x2e\x2e\x2e\x31\xc0" },
		{ 5, "\x67\x48\x0f\xb9\x3a" }, { 5, "\xf3\x48\x0f\xb8\xc7" },
		{ 5, "\xf3\x0f\xb8\xc7\x90" }, { 5, "\x0f\xae\xe8\x0f\x31" },
		{ 5, "\x0f\x01\xf9\x66\x90" }, { 5, "\x0f\x31\x0f\x1f\x00" },
		{ 3, "\x0f\x01\xcb" },	       { 3, "\x0f\x01\xca" },
		{ 3, "\x0f\x1f\x00" },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (left >= places[i].len && !memcmp(p, places[i].bytes, places[i].len))
			return places[i].len;
	return 0;
}

/* The kernel's own nops of up to three bytes: the length of one, or 0. */
static size_t short_nop(const uint8_t *p, size_t left)
{
	if (left >= 3 && (!memcmp(p, "\x0f\x1f\x00", 3) || !memcmp(p, "\x66\x66\x90", 3)))
		return 3;
	if (left >= 2 && !memcmp(p, "\x66\x90", 2))
		return 2;
	return left >= 1 && *p == 0x90;
}

/*
 * A call or jmp to a thunk for indirect branches, of 5 bytes, or of 6 with a CS prefix. Where the
 * CPU needs no thunk the kernel writes the branch itself there, behind an lfence or with an int3
 * and a nop behind it.
 */
static size_t indirect(const uint8_t *p, size_t left)
{
	const size_t fence = left >= 3 && !memcmp(p, "\x0f\xae\xe8", 3) ? 3 : 0;
	size_t n = fence, nop;
	bool jump;

	if (left >= 6 && p[0] == 0x2e && (p[1] == 0xe8 || p[1] == 0xe9))
		return 6;
	n += n < left && p[n] == 0x41; /* r8 and up */
	if (left < n + 2 || p[n] != 0xff ||
	    ((p[n + 1] & 0xf8) != 0xd0 && (p[n + 1] & 0xf8) != 0xe0))
		return 0;
	jump = (p[n + 1] & 0xf8) == 0xe0;
	n += 2;
	if (fence)
		return n;
	n += jump && n < left && p[n] == 0xcc;
	nop = short_nop(p + n, left - n);
	return nop && (n + nop == 5 || n + nop == 6) ? n + nop : 0;
}

/* The length of what is one state of a place that the kernel rewrites; 0: it is none. */
static size_t rewritten(const struct code *c, size_t at, const struct vp_insn *insn)
{
	const uint8_t *p = c->bytes + at;
	size_t left = c->size - at, len = known(p, left);

	if (len)
		return len;
	if (insn->len == 5 && (insn->kind == VP_INSN_NOP || insn->kind == VP_INSN_CALL_REL ||
			       insn->kind == VP_INSN_JMP_REL))
		return 5;
	/* A jmp rel32 that depends on the CPU may have become the short one and a nop. */
	if (insn->len == 2 && (insn->kind == VP_INSN_NOP || insn->kind == VP_INSN_JMP_REL))
		return known(p + 2, left - 2) == 3 ? 5 : 2;
	if (!at && left >= 4 &&
	    (!memcmp(p, "\xf3\x0f\x1e\xfa", 4) || (insn->len == 4 && insn->kind == VP_INSN_NOP)))
		return 4;
	return indirect(p, left);
}

static void mask(const struct code *c, size_t at, const struct vp_insn_fields *f, size_t len,
		 uint8_t *bytes)
{
	uint64_t target = at + len + (uint64_t)f->imm; /* in the function */

	if (f->disp_len && (f->rip_relative || is_address(f->disp, f->disp_len)))
		memset(bytes + f->disp_at, 0, f->disp_len);
	if (f->imm_len &&
	    (f->imm_relative ? f->imm_len == 4 && target >= c->size
			     : is_address(f->imm, f->imm_len) || is_distance(bytes, f->imm)))
		memset(bytes + f->imm_at, 0, f->imm_len);
}

/* The next instruction or place: its length, or -EINVAL. */
static int add_next(const struct code *c, size_t at, struct vp_sha256 *sha, struct vp_err *err)
{
	const uint8_t *p = c->bytes + at;
	const vp_gva addr = VP_GVA(c->addr + at);
	uint8_t bytes[2 + VP_INSN_MAX] = { 0 };
	struct vp_insn_fields fields;
	struct vp_insn insn;
	size_t len;
	int rc = vp_insn_decode(p, c->size - at, addr, &insn, err);

	if (rc)
		return rc;
	len = rewritten(c, at, &insn);
	bytes[1] = len != 0;
	if (!len) {
		rc = vp_insn_get_fields(p, c->size - at, addr, &fields, err);
		if (rc < 0)
			return rc;
		len = insn.len;
		memcpy(bytes + 2, p, len);
		mask(c, at, &fields, len, bytes + 2);
	}
	bytes[0] = (uint8_t)len;
	vp_sha256_add(sha, bytes, 2 + len);
	return (int)len;
}

int vp_code_digest(const uint8_t *code, size_t size, vp_gva addr, uint8_t out[VP_SHA256_SIZE],
		   struct vp_err *err)
{
	static const char what[] = "vmpoke-code-1";
	const struct code c = { code, size, addr.v };
	uint8_t length[8];
	struct vp_sha256 sha;

	if (!size)
		return vp_err_set(err, -EINVAL, "there is no code at 0x%llx",
				  (unsigned long long)addr.v);
	for (size_t i = 0; i < sizeof(length); i++)
		length[i] = (uint8_t)((uint64_t)size >> (8 * i));
	vp_sha256_init(&sha);
	vp_sha256_add(&sha, what, sizeof(what));
	vp_sha256_add(&sha, length, sizeof(length));
	for (size_t at = 0; at < size;) {
		int len = add_next(&c, at, &sha, err);

		if (len < 0)
			return len;
		at += (size_t)len;
	}
	vp_sha256_end(&sha, out);
	return 0;
}
