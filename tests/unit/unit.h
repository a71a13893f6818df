/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test includes: cmocka and what cmocka wants before it. */
#ifndef VP_UNIT_H
#define VP_UNIT_H

#include <vmpoke/types.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A reproducible stream of 64-bit numbers (xorshift64); @state is never 0. */
static inline uint64_t unit_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif /* VP_UNIT_H */
