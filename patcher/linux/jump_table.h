/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jump entries of static keys, as include/linux/jump_label.h and arch/x86 of each kernel have
 * them: which instruction is switched by which key.
 */
#ifndef VP_LINUX_JUMP_TABLE_H
#define VP_LINUX_JUMP_TABLE_H

#include "linux/internal.h"
#include "linux/view.h"

/* struct jump_entry, decoded. */
struct vp_jump_entry {
	uint64_t code, target, key;
	bool branch; /* the instruction is a jmp while the key is off */
	bool init;   /* in code that was freed after boot */
};

/* Entries by key, then by code: the kernel's own, or those of its modules. */
struct vp_jump_table {
	struct vp_jump_entry *entries;
	size_t n;
	bool whole;	   /* of modules: none was left out */
	unsigned int kept; /* by whom vp_jump_table_free() is still to be called, too */
};

/* struct static_key. */
struct vp_key_struct {
	int32_t enabled;
	uint64_t type; /* entries or list, and two flags */
};

/* What stands at an entry. */
enum vp_jump_state {
	VP_JUMP_NOP,
	VP_JUMP_JMP,  /* to the entry's target */
	VP_JUMP_GONE, /* no code there (any more) */
	VP_JUMP_BUSY, /* an int3: the guest switches it now, or a probe stands there */
	VP_JUMP_ODD,  /* something else */
};

struct vp_jump_site {
	enum vp_jump_state state;
	uint8_t len; /* of NOP and JMP: 2 or 5 */
	uint8_t bytes[5];
};

/* Several entries; grown as need be, to be free()d. */
struct vp_jump_list {
	struct vp_jump_entry *entries;
	size_t n, cap;
};

/* The table of @l, read at the first call. -ENOENT: no data symbols. -EBADMSG. -ENOMEM. */
int vp_jump_table_get(struct vp_linux *l, const struct vp_jump_table **out, struct vp_err *err);

/*
 * Those of all live modules, from each module's own table: so no list of a key, which is empty for
 * one that was sealed (__ro_after_init), can hide them. Read once in each command. -EBADMSG: more
 * than there can be. -ENOMEM.
 */
int vp_jump_modules_get(struct vp_linux *l, const struct vp_jump_table **out, struct vp_err *err);

/* The same, to be freed by vp_jump_table_free(): a refresh meanwhile does not take it away. */
int vp_jump_modules_keep(struct vp_linux *l, struct vp_jump_table **out, struct vp_err *err);

/* The entries of a table for one key: *@n from the result on. */
const struct vp_jump_entry *vp_jump_table_find(const struct vp_jump_table *t, uint64_t key,
					       size_t *n);

/*
 * The entries of the key at @addr, modules' included. *@hidden: there may be more in modules, which
 * cannot be found.
 */
int vp_jump_entries(struct vp_linux *l, uint64_t addr, const struct vp_key_struct *key,
		    struct vp_jump_list *out, bool *hidden, struct vp_err *err);

/* Read a key. @view may be NULL. -EFAULT. */
int vp_jump_key(const struct vp_linux *l, struct vp_view *view, uint64_t addr,
		struct vp_key_struct *out, struct vp_err *err);

/* Look at the code of an entry. @view may be NULL. That it is gone is no error. */
int vp_jump_look(const struct vp_linux *l, struct vp_view *view, const struct vp_jump_entry *e,
		 struct vp_jump_site *out, struct vp_err *err);

#endif /* VP_LINUX_JUMP_TABLE_H */
