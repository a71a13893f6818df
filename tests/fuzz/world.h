/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted target of the unit tests, with text worth patching, and what must stand there. */
#ifndef VP_FUZZ_WORLD_H
#define VP_FUZZ_WORLD_H

#include "tests/unit/fake.h"

/* The text is one block of instructions, over and over. */
#define FUZZ_BLOCK 64u

/* The most sites that fuzz_world_holds() takes: no input makes so many. */
#define FUZZ_SITES_MAX 4096u

/* The one target; made by the first call. Between inputs its RAM is as it was made. */
struct fake *fuzz_world(void);

/* A new engine on it, and all scripts of the target off. */
struct vp_engine *fuzz_world_engine(void);

/* Where instruction @k (any number) of block @block begins. */
uint64_t fuzz_world_insn(uint64_t region, unsigned int block, unsigned int k);

/* Is an address in a page of the target's text (which fake_at() knows)? */
bool fuzz_world_is_text(uint64_t gva);

/* True if RAM is as it was made, apart from the new bytes of @n sites. */
bool fuzz_world_holds(const struct vp_site *sites, size_t n);

#endif /* VP_FUZZ_WORLD_H */
