/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the control socket share. */
#ifndef VP_VMM_CONTROL_INTERNAL_H
#define VP_VMM_CONTROL_INTERNAL_H

#include "target/qmp.h"
#include "vmm/control.h"

struct vp_control {
	struct vp_vm *vm;
	struct vp_qmp_server *server;
	pthread_t thread;
	bool serving; /* the thread was started */
	int ram_fd;   /* the RAM memfd, opened again for reading only: what clients get */
};

/*
 * Arguments, all from a hostile client. json_unpack() formats, strict: what is not named is
 * refused. Strings and objects stay owned by @args.
 */
int vp_args_unpack(const json_t *args, struct vp_err *err, const char *fmt, ...);

/* An integer within [min, max]; @value NULL (not given): @out stays. -EINVAL, -ERANGE. */
int vp_args_number(const json_t *value, const char *name, uint64_t min, uint64_t max, uint64_t *out,
		   struct vp_err *err);

/* A guest address: an integer, or text as for vp_symtab_parse(). */
int vp_args_addr(struct vp_vm *vm, const json_t *value, vp_gva *out, struct vp_err *err);

/* "0x..." for an address: JSON readers lose bits of large numbers. */
json_t *vp_json_addr(uint64_t addr);

/* Put "addr", "symbol", "offset" into @object; the latter two only if a symbol is near. */
void vp_json_set_where(struct vp_vm *vm, json_t *object, vp_gva addr);

/* Commands, as struct vp_qmp_command wants them; @arg is the struct vp_control. control_poke.c */
json_t *vp_control_query_pokes(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err);
json_t *vp_control_poke(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err);
json_t *vp_control_revert(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err);

#endif /* VP_VMM_CONTROL_INTERNAL_H */
