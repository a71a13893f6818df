/* SPDX-License-Identifier: Apache-2.0 */
/* The list of modules that the guest has loaded. They come and go while it runs. */
#ifndef VP_LINUX_MODULES_H
#define VP_LINUX_MODULES_H

#include "linux/conditions.h"
#include "linux/internal.h"

/*
 * Read the list of live modules, whose head is l->modules_head. To be free()d (out->m) whatever the
 * result. -EAGAIN: not all of it made sense, what is there did. -ENOMEM, or an error of the target.
 */
int vp_modules_list(const struct vp_linux *l, struct vp_modules *out);

/* In which of its pieces does @addr lie? -1: in none. */
int vp_module_piece(const struct vp_module *m, uint64_t addr);

/* Nothing but what a name has? */
bool vp_is_printable(const char *s);

/*
 * Is the list of modules as it was read last, with none coming or going? Adds to @list what keeps
 * it so at the moment of a write: that no module comes before all others, where new ones do.
 * -EAGAIN: it is not.
 */
int vp_modules_settled(const struct vp_linux *l, struct vp_word_list *list, struct vp_err *err);

#endif /* VP_LINUX_MODULES_H */
