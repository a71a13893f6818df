/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jump entries of static keys, as include/linux/jump_label.h and arch/x86 of each kernel have
 * them: which instruction is switched by which key.
 */
#ifndef VP_LINUX_JUMP_TABLE_H
#define VP_LINUX_JUMP_TABLE_H

#include "linux/internal.h"

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
	bool whole; /* of modules: none was left out */
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

/* Guest memory at hand: what is read of it next is likely near, and one large read is cheap. */
struct vp_view {
	struct vp_blob blob;
	uint8_t *bytes;
	size_t size;
	size_t ahead; /* how much is read where a read misses; 0: the view stays as it is */
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

/* Look at the code of an entry. @view may be NULL. */
void vp_jump_look(const struct vp_linux *l, struct vp_view *view, const struct vp_jump_entry *e,
		  struct vp_jump_site *out);

/* Read memory at @addr, through @view (NULL: none). -EFAULT. */
int vp_view_read(const struct vp_linux *l, struct vp_view *view, uint64_t addr, void *buf,
		 size_t len, struct vp_err *err);

/* Take @n bytes at @addr into the view. False: not all can be read; it is empty then. */
bool vp_view_fill(const struct vp_linux *l, struct vp_view *view, uint64_t addr, size_t n);
void vp_view_free(struct vp_view *view);

#endif /* VP_LINUX_JUMP_TABLE_H */
