/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#ifndef VP_LINUX_INTERNAL_H
#define VP_LINUX_INTERNAL_H

#include "linux/module_layout.h"
#include "linux/kallsyms.h"
#include "linux/kernel_mem.h"

#include <vmpoke/linux.h>

#define VP_BUILD_ID_MAX 32u /* bytes; SHA-1, the usual, has 20 */

/* What tells one kernel from another. */
struct vp_kernel_id {
	uint64_t banner;       /* where linux_banner is, from _text */
	uint32_t build_id_len; /* 0: the kernel carries none */
	uint8_t build_id[VP_BUILD_ID_MAX];
};

#define VP_MODULE_NAME_MAX 64u

/* One live module, as its struct module tells. */
struct vp_module {
	uint64_t addr; /* of struct module */
	char name[VP_MODULE_NAME_MAX];
	uint64_t symtab, strtab, jumps, calls; /* jumps, calls: of static keys, static calls */
	uint32_t nsymbols, njumps, ncalls;
	struct {
		uint64_t base;
		uint32_t len;
	} pieces[VP_MODULE_PIECES_MAX]; /* of memory: text, data, ... */
};

struct vp_modules {
	struct vp_module *m;
	size_t n, cap;
	size_t unsettled; /* that are coming or going, and are not among them */
	uint64_t first;	  /* what the list's head leads to: a new module goes there */
	uint64_t digest;  /* differs if the list of the live ones does */
	bool whole;	  /* none was left out because it made no sense */
};

struct vp_jump_table;

struct vp_kernel_image;

struct vp_linux {
	struct vp_kernel_mem mem;
	struct vp_kernel_image *file; /* that mem is of: no guest; NULL: a guest's */
	struct vp_kernel_id id;
	struct vp_kallsyms ksyms;
	struct vp_symtab *symbols;	    /* the kernel's own */
	struct vp_symtab *all;		    /* and those of modules; NULL: there are none */
	struct vp_module_layout modules_at; /* what to look for in struct module */
	struct vp_owner_layout owners_at;
	struct vp_execmem_layout execmem;
	struct vp_task_layout tasks_at;
	struct vp_cpu_layout cpu_at;
	struct vp_klp_layout klp_at;
	uint64_t modules_head; /* of their list; 0: not known */
	struct vp_modules modules;
	struct vp_linux_kernel info;
	char release[96], banner[512], build_id[2 * VP_BUILD_ID_MAX + 1];
	struct vp_jump_table *jump_table; /* read when first asked for */
	/* Of all modules together; the same, until the next refresh. */
	struct vp_jump_table *module_jumps;
	unsigned int work, work_key; /* entries of modules seen in this call, and for this key */
	char reason[256], key_name[600]; /* of the last struct vp_linux_key given out */
};

/* Address of a symbol of this kernel. False: there is none, or several. */
bool vp_linux_find(const struct vp_linux *l, const char *name, vp_gva *out);

/*
 * Read the variable @name of @len bytes. -ENOENT: there is no such symbol, or several. Other errors
 * are those of the read, and no answer: what is not known is not taken for what is not there.
 */
int vp_linux_variable(const struct vp_linux *l, const char *name, void *buf, size_t len,
		      struct vp_err *err);

/* --- identify.c: all after the symbols are known ------------------------------------ */

/* Find banner and build-id; @rodata is where the symbols were found. -ENOENT: no Linux. */
int vp_linux_find_id(struct vp_linux *l, const struct vp_blob *rodata, struct vp_err *err);

/* Fill l->info by l->id and the symbols. */
int vp_linux_identify(struct vp_linux *l, struct vp_err *err);

/* Do the vCPUs still run this very kernel, in the same boot? That it cannot be told is no. */
bool vp_linux_still_runs(struct vp_linux *l);

/* --- modules.c, module_symbols.c ---------------------------------------------------- */

/* Can this kernel's modules be read? If not, they may be there all the same. */
bool vp_modules_are_known(const struct vp_linux *l);

/* Fill l->modules and l->all, afresh. Without l->modules_at there are none, and no error. */
int vp_modules_read(struct vp_linux *l, struct vp_err *err);

/* --- kernel_file.c ------------------------------------------------------------------ */

/* Does the file belong to this kernel? Errors as vp_linux_open(). */
int vp_kernel_file_check(const struct vp_linux *l, const char *path, struct vp_err *err);

/* --- jump_table.c ------------------------------------------------------------------- */

void vp_jump_table_free(struct vp_jump_table *table);

#endif /* VP_LINUX_INTERNAL_H */
