/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzers share. Each fuzz_NAME.c is linked twice: with libFuzzer, and with run.c, which
 * replays its corpus and mutants of it. It judges what it calls: a false FUZZ_CHECK() ends the
 * process, and whoever drives it keeps the input.
 */
#ifndef VP_FUZZ_H
#define VP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not stderr: a fuzzer of code that prints its refusals may have turned that off. */
#define FUZZ_CHECK(condition)                                                                \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			dprintf(2, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                             \
		}                                                                            \
	} while (0)

/* The input as a stream of numbers; after its end come zeroes. */
struct fuzz_in {
	const uint8_t *at;
	size_t left;
};

/* The next @bytes (at most 8), little endian. */
static inline uint64_t fuzz_take(struct fuzz_in *in, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes && in->left; i++, in->left--)
		value |= (uint64_t)*in->at++ << (8 * i);
	return value;
}

#endif /* VP_FUZZ_H */
