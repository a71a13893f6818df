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

/* The kernel's image and its modules lie there, and small negative numbers do not. */
static bool is_address(int64_t value, size_t len)
{
	if (len == 4)
		return (uint32_t)value >= 0x80000000 && (uint32_t)value < 0xff000000;
	return len == 8 && (uint64_t)value >= 0xffffffff80000000 &&
	       (uint64_t)value < 0xffffffffff000000;
}

/* The length of what is one state of a place that the kernel rewrites; 0: it is none. */
static size_t rewritten(const struct code *c, size_t at, const struct vp_insn *insn)
{
	const uint8_t *p = c->bytes + at;
	size_t left = c->size - at;

	if (left >= 5 &&
	    (!memcmp(p, "\xc3\xcc\xcc\xcc\xcc", 5) || !memcmp(p, "\x2e\x2e\x2e\x31\xc0", 5)))
		return 5;
	if (insn->len == 5 && (insn->kind == VP_INSN_NOP || insn->kind == VP_INSN_CALL_REL ||
			       insn->kind == VP_INSN_JMP_REL))
		return 5;
	if (insn->len == 2 && (insn->kind == VP_INSN_NOP || insn->kind == VP_INSN_JMP_REL))
		return 2;
	if (!at && left >= 4 &&
	    (!memcmp(p, "\xf3\x0f\x1e\xfa", 4) || (insn->len == 4 && insn->kind == VP_INSN_NOP)))
		return 4;
	return 0;
}

static void mask(const struct code *c, size_t at, const struct vp_insn_fields *f, size_t len,
		 uint8_t *bytes)
{
	uint64_t target = at + len + (uint64_t)f->imm; /* in the function */

	if (f->disp_len && (f->rip_relative || is_address(f->disp, f->disp_len)))
		memset(bytes + f->disp_at, 0, f->disp_len);
	if (f->imm_len && (f->imm_relative ? f->imm_len == 4 && target >= c->size
					   : is_address(f->imm, f->imm_len)))
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
