/* SPDX-License-Identifier: Apache-2.0 */
/* The modules of linux_build.h's guest. */
#ifndef VP_TESTS_LINUX_MODULES_H
#define VP_TESTS_LINUX_MODULES_H

#include "linux_build.h"

void lg_write_btf(struct linux_guest *g);
void lg_write_modules(struct linux_guest *g);

#endif /* VP_TESTS_LINUX_MODULES_H */
