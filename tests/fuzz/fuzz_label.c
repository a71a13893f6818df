/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label of an applied hotfix, from a hostile guest: what is read makes sense, and written again
 * it is the same bytes. An odd first byte: its digest is put right before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/text.h"
#include "hotfix/label.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct vp_hotfix_label *l, const uint8_t *bytes)
{
	size_t size = vp_hotfix_label_size(l);
	uint8_t *again = malloc(size);

	FUZZ_CHECK(again && size <= VP_LABEL_MAX && size == vp_hotfix_label_length(bytes));
	FUZZ_CHECK(l->nfunctions && l->nfunctions <= VMPOKE_FUNCTION_COUNT);
	FUZZ_CHECK(vp_text_is_clean(l->name) && vp_text_is_clean(l->description));
	for (size_t i = 0; i < l->nfunctions; i++)
		FUZZ_CHECK(vp_text_is_clean(l->functions[i].name));
	FUZZ_CHECK(l->ncalls <= VMPOKE_CALL_COUNT);
	for (size_t i = 0; i < l->ncalls; i++)
		FUZZ_CHECK(l->calls[i].when >= VMPOKE_WHEN_BEFORE_REMOVE && l->calls[i].at.v >> 63);
	FUZZ_CHECK(!vp_hotfix_label_write(l, again, NULL) && !memcmp(again, bytes, size));
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vp_hotfix_label *l;
	struct vp_err err = { "" };
	uint8_t *bytes;
	vp_gva at = { 0 };
	size_t len;
	int rc;

	if (size < 1)
		return 0;
	bytes = malloc(size);
	FUZZ_CHECK(bytes);
	memcpy(bytes, data + 1, size - 1);
	len = size - 1;
	if (data[0] & 1 && len > VP_LABEL_HEAD) {
		size_t told = vp_hotfix_label_length(bytes);
		size_t n = told > VP_LABEL_HEAD && told <= len ? told : len;
		uint64_t digest =
			vp_digest(VP_DIGEST_INIT, bytes + VP_LABEL_HEAD, n - VP_LABEL_HEAD);

		memcpy(bytes + VP_LABEL_HEAD - 8, &digest, sizeof(digest));
	}
	if (len >= VP_LABEL_HEAD + 16)
		memcpy(&at, bytes + VP_LABEL_HEAD + 8, sizeof(at));
	rc = vp_hotfix_label_read(bytes, len, at, &l, &err);
	FUZZ_CHECK(!rc || ((rc == -ENOENT || rc == -EBADMSG) && err.text[0]));
	if (!rc) {
		check(l, bytes);
		free(l);
	}
	free(bytes);
	return 0;
}
