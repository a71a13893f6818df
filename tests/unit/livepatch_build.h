/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A livepatch module, built in memory: .text with `fixed` (0-31), `helper` (32-47), which only it
 * reaches, and `init` (48-63), which nobody reaches; the rest as each of the three ways of making
 * modules has it.
 */
#ifndef VP_UNIT_LIVEPATCH_BUILD_H
#define VP_UNIT_LIVEPATCH_BUILD_H

#include "object_build.h"
#include "linux/module_layout.h"

enum livepatch_way { BY_HAND, BY_KPATCH, BY_OLD_KPATCH, BY_KLP_BUILD };

struct livepatch_build {
	struct object_build o;
	uint8_t code[64], funcs[256], objects[256], patch[64];
	char info[256], texts[128];
	unsigned int text, data, records, strings, fixed, helper, init, this_module;
	unsigned int text_section, strings_section, data_section;
};

/* The layout that BY_HAND is of. */
extern const struct vp_klp_layout livepatch_layout;

/* For kernel 6.1, name "fix", version 3, of `old`, with @sympos, in the module @object ("": none).
 */
void livepatch_begin(struct livepatch_build *b, enum livepatch_way way, uint64_t sympos,
		     const char *object);

#endif /* VP_UNIT_LIVEPATCH_BUILD_H */
