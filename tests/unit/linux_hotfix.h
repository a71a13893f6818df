/* SPDX-License-Identifier: Apache-2.0 */
/* Hotfixes in the memory of a Linux guest that is made of bytes. */
#ifndef VP_TESTS_LINUX_HOTFIX_H
#define VP_TESTS_LINUX_HOTFIX_H

#include "hotfix/label.h"
#include "linux_build.h"

/* Pages of code that are no module's: each hotfix takes two, of text and of read-only data. */
#define LG_HOTFIX(i) (LG_MODULES + 0xa000u + 0x2000u * (i))
#define LG_HOTFIXES  2u

/* In the text area. */
#define LG_REPLACEMENT(i) (0x800u + 16u * (i))

/*
 * Write a hotfix @i that replaces the @n functions LG_FUNC(funcs[..]), with the bytes before that
 * stand there now. Its sites stay as they are.
 */
void lg_put_hotfix(struct linux_guest *g, unsigned int i, const char *name, int64_t when,
		   const unsigned int *funcs, size_t n);

/* Write the jmp from LG_FUNC(func) to the replacement number @k of hotfix @i. */
void lg_redirect(struct linux_guest *g, unsigned int func, unsigned int i, unsigned int k);

#endif /* VP_TESTS_LINUX_HOTFIX_H */
