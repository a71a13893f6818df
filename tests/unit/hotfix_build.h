/* SPDX-License-Identifier: Apache-2.0 */
/* A hotfix's object, built in memory: object_build.h with the notes of include/vmpoke/hotfix.h. */
#ifndef VP_UNIT_HOTFIX_BUILD_H
#define VP_UNIT_HOTFIX_BUILD_H

#include <vmpoke/hotfix.h>

#include "object_build.h"

struct hotfix_build {
	struct object_build o;
	char info[1024], strings[2048];
	struct vmpoke_function functions[8];
	struct vmpoke_symbol symbols[4];
	struct vmpoke_call calls[4];
	struct vmpoke_use uses[4];
	size_t info_len, strings_len, nfunctions, nsymbols, ncalls, nuses;
	unsigned int sec_info, sec_strings, sec_functions, sec_symbols, sec_calls, sec_uses;
	unsigned int string_symbol;
};

/* With no note yet. It must stay where it is. */
void hotfix_begin(struct hotfix_build *h);

/* format, name "fix", version "1", a description, for 6.1. */
void hotfix_good_info(struct hotfix_build *h);

void hotfix_info(struct hotfix_build *h, const char *text);

/* Symbols of the object are numbers of object_symbol(). NULL: no pointer. */
struct vmpoke_function *hotfix_function(struct hotfix_build *h, const char *name,
					unsigned int symbol, int64_t offset);
void hotfix_function_where(struct hotfix_build *h, unsigned int which, const char *where,
			   unsigned int number);
void hotfix_symbol(struct hotfix_build *h, const char *name, unsigned int which, const char *where,
		   unsigned int number);
/* They are called in the opposite order. */
struct vmpoke_call *hotfix_call(struct hotfix_build *h, unsigned int when, unsigned int symbol);

/* Of a function that is the only one of its name. */
struct vmpoke_use *hotfix_use(struct hotfix_build *h, const char *function, uint32_t type);

void hotfix_finish(struct hotfix_build *h);

#endif /* VP_UNIT_HOTFIX_BUILD_H */
