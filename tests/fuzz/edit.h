/* SPDX-License-Identifier: Apache-2.0 */
/* An input as changes of something good, which is put right afterwards. */
#ifndef VP_FUZZ_EDIT_H
#define VP_FUZZ_EDIT_H

#include "tests/fuzz/fuzz.h"

#define FUZZ_EDITS 512u

/* Where changes go, so that a short input hits what is read. */
struct fuzz_region {
	uint32_t start, len;
};

struct fuzz_edits {
	struct {
		uint32_t at;
		uint8_t was;
	} list[FUZZ_EDITS];
	size_t n;
};

/* Of one to eight bytes each, in one of the regions. */
static inline void fuzz_change(uint8_t *bytes, const struct fuzz_region *regions, size_t nregions,
			       struct fuzz_in *in, struct fuzz_edits *edits)
{
	edits->n = 0;
	while (in->left && edits->n + 8 <= FUZZ_EDITS) {
		const struct fuzz_region *r = &regions[fuzz_take(in, 1) % nregions];
		uint32_t at = r->start + (uint32_t)(fuzz_take(in, 2) % r->len);
		unsigned int size = 1u << fuzz_take(in, 1) % 4;
		uint64_t value = fuzz_take(in, size);

		for (unsigned int i = 0; i < size; i++, edits->n++) {
			edits->list[edits->n].at = at + i;
			edits->list[edits->n].was = bytes[at + i];
			bytes[at + i] = (uint8_t)(value >> (8 * i));
		}
	}
}

static inline void fuzz_put_right(uint8_t *bytes, struct fuzz_edits *edits)
{
	while (edits->n--)
		bytes[edits->list[edits->n].at] = edits->list[edits->n].was;
}

#endif /* VP_FUZZ_EDIT_H */
