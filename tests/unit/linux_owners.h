/* SPDX-License-Identifier: Apache-2.0 */
/* Who else writes into the text of linux_build.h's guest. */
#ifndef VP_TESTS_LINUX_OWNERS_H
#define VP_TESTS_LINUX_OWNERS_H

#include "linux_build.h"

struct btf;

/* @list: struct list_head, which has the size of a struct hlist_node. */
void lg_add_owner_types(const struct linux_guest *g, struct btf *btf, int list, int pointer,
			int u32);
void lg_write_owners(struct linux_guest *g);

#endif /* VP_TESTS_LINUX_OWNERS_H */
