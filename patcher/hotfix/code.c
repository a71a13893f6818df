/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/code.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/symtab.h"
#include "hotfix/digest.h"
#include "hotfix/reloc.h"

#define FUNCTION_MAX (1u << 20) /* bytes of one function that is digested */

/* What @function has now: malloc()ed, with its digest. */
static int read_code(struct vp_linux *l, const struct vp_linux_function *function, uint8_t **out,
		     uint8_t digest[VP_SHA256_SIZE], struct vp_err *err)
{
	uint8_t *code;
	int rc;

	if (function->len > FUNCTION_MAX)
		return vp_err_set(err, -EINVAL, "its code is too long");
	code = malloc(function->len + 1);
	if (!code)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_linux_read(l, function->start, code, function->len, err);
	if (!rc)
		rc = vp_code_digest(code, function->len, function->start, digest, err);
	if (rc)
		free(code);
	else
		*out = code;
	return rc;
}

int vp_hotfix_code_digest(struct vp_linux *l, const struct vp_linux_function *function,
			  uint8_t out[VP_SHA256_SIZE], struct vp_err *err)
{
	uint8_t *code;
	int rc = read_code(l, function, &code, out, err);

	if (!rc)
		free(code);
	return rc;
}

/* The function at @start, to the next symbol. */
static int find_function(const struct vp_linux *l, vp_gva start, struct vp_linux_function *out,
			 struct vp_err *err)
{
	vp_gva end;

	*out = (struct vp_linux_function){ .start = start };
	if (!vp_symtab_end(vp_linux_symbols(l), start, &end))
		return vp_err_set(err, -EINVAL, "where it ends cannot be told");
	out->len = end.v - start.v;
	return 0;
}

bool vp_hotfix_code_is(struct vp_linux *l, vp_gva start, const uint8_t expected[VP_SHA256_SIZE])
{
	uint8_t digest[VP_SHA256_SIZE];
	struct vp_linux_function f;

	return !find_function(l, start, &f, NULL) && !vp_hotfix_code_digest(l, &f, digest, NULL) &&
	       !memcmp(digest, expected, sizeof(digest));
}

/* The symbol that the field of @use speaks of; the inverse of vp_reloc_apply(). */
static vp_gva symbol_of(const struct vp_hotfix_use *use, const uint8_t *field, vp_gva at)
{
	uint64_t value;
	int32_t narrow;

	if (use->type == R_X86_64_64) {
		memcpy(&value, field, sizeof(value));
	} else {
		memcpy(&narrow, field, sizeof(narrow));
		value = (uint64_t)(int64_t)narrow + (use->type == R_X86_64_32S ? 0 : at.v);
	}
	return VP_GVA(value - (uint64_t)use->addend);
}

int vp_hotfix_code_leads(struct vp_linux *l, const struct vp_hotfix_use *use, vp_gva function,
			 vp_gva *out, struct vp_err *err)
{
	uint8_t digest[VP_SHA256_SIZE], *code = NULL;
	int size = vp_reloc_size(use->type);
	struct vp_linux_function f;
	int rc = find_function(l, function, &f, err);

	if (!rc)
		rc = read_code(l, &f, &code, digest, err);
	if (rc)
		return rc;
	if (memcmp(digest, use->expected, sizeof(digest)))
		rc = vp_err_set(err, -ESTALE, "it has other code than the hotfix was made for");
	else if (size <= 0 || use->offset > f.len || (uint64_t)size > f.len - use->offset)
		rc = vp_err_set(err, -EINVAL, "its code ends before");
	else
		*out = symbol_of(use, code + use->offset, VP_GVA(function.v + use->offset));
	free(code);
	return rc;
}
