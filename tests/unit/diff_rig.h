/* SPDX-License-Identifier: Apache-2.0 */
/* Compilations of a source made by hand, for tests of patcher/diff: functions with one call each.
 */
#ifndef VP_TEST_DIFF_RIG_H
#define VP_TEST_DIFF_RIG_H

#include "diff/unit.h"
#include "object_build.h"

#define CODE (SHF_ALLOC | SHF_EXECINSTR)
#define DATA (SHF_ALLOC | SHF_WRITE)
#define TEXT (SHF_ALLOC | SHF_MERGE | SHF_STRINGS)

/* mov $IMM,%esi; call X; ret: three that differ in IMM, 7, 8 and 9. */
#define FUNCTION_SIZE 11
extern const uint8_t plain[FUNCTION_SIZE], other[FUNCTION_SIZE], line[FUNCTION_SIZE];

struct compiled {
	struct object_build build;
	struct vp_elf_object *elf;
	struct vp_unit unit;
};
extern struct compiled before, after, code;
extern struct vp_err diff_err;

void diff_begin(struct compiled *c);
void diff_end(struct compiled *c);
void diff_drop(struct compiled *c);

/* A function in a section of its own; its section. "inline_*" are local, or all are. */
extern bool diff_all_local;
unsigned int diff_function(struct compiled *c, const char *name, const uint8_t *bytes,
			   unsigned int *symbol);

/* The call of that section goes to a symbol. */
void diff_calls(struct compiled *c, unsigned int section, unsigned int symbol);
unsigned int diff_outside(struct compiled *c, const char *name);

unsigned int diff_variable(struct compiled *c, const char *name, uint64_t flags, const void *bytes,
			   size_t size);

/* f() calls g(). */
void make_f(struct compiled *c, const uint8_t *bytes, const char *g);

/* f(), and an entry of its bug table. */
void make_bug(struct compiled *c, uint8_t of_line, uint8_t flags);

#endif /* VP_TEST_DIFF_RIG_H */
