/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest tells whoever reads its memory: ../vmm does. */
#ifndef EXAMPLE_GUEST_H
#define EXAMPLE_GUEST_H

#include <stdint.h>

/* What a vCPU has got of answer(). Its symbol is `seen`, an array: one for each vCPU. */
struct seen {
	uint64_t calls;
	uint32_t answer; /* the last one */
	/*
	 * Answers whose four bytes were not the same. As long as all that is poked has four equal
	 * bytes, such an answer is half an old instruction and half a new one.
	 */
	uint32_t torn;
};

#endif /* EXAMPLE_GUEST_H */
