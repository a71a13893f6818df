/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the linker share: a hotfix whose .text is 64 nops that a function `fixed`
 * covers, and a world to link it for. In it are helper, pv_ops, per_cpu, old*, and `many`, which
 * needs a number; `broken` cannot be looked up.
 */
#ifndef VP_UNIT_LINK_RIG_H
#define VP_UNIT_LINK_RIG_H

#include "hotfix_build.h"
#include "hotfix/link.h"

#define RX (SHF_ALLOC | SHF_EXECINSTR)
#define RW (SHF_ALLOC | SHF_WRITE)

#define TEXT   0xffffffffc0100000ull
#define RODATA 0xffffffffc0200000ull
#define DATA   0xffffffffc0300000ull

#define HELPER	  0xffffffff81000010ull
#define PV_OPS	  0xffffffff82000000ull
#define PV_TARGET 0xffffffff81000400ull
#define THUNK	  0xffffffff81002000ull

extern struct hotfix_build link_h;
extern uint8_t link_code[256]; /* of .text */
extern unsigned int link_text, link_func;
extern uint64_t link_return_thunk;
extern unsigned int link_features[2]; /* those that the CPU has */
extern const struct vp_hotfix_world link_world;

struct linked {
	struct vp_elf_object *elf;
	struct vp_hotfix_object *hotfix;
	struct vp_hotfix_link *link;
	struct vp_hotfix_image image;
	struct vp_blockers b;
	struct vp_err err;
	int rc;
};

/* A new object in link_h. */
void link_begin(void);
unsigned int link_outside(const char *name);

/* Finish and link it. One at a time. */
struct linked *link_it(void);
void link_close(struct linked *l);

/* It must succeed, or be refused with a blocker that has @why in it. */
struct linked *link_good(void);
void link_refused(const char *why);

/* The four bytes at @at. */
int32_t link_word(const struct linked *l, enum vp_hotfix_area area, size_t at);

#endif /* VP_UNIT_LINK_RIG_H */
