/* SPDX-License-Identifier: Apache-2.0 */
/* Which module, if not the kernel itself, exports a symbol: Module.symvers of the headers. */
#ifndef VP_BUILD_EXPORTS_H
#define VP_BUILD_EXPORTS_H

#include <vmpoke/types.h>

struct vp_exports {
	char *text;
	struct vp_export {
		const char *symbol;
		const char *module; /* NULL: the kernel itself */
	} * list;		    /* by symbol */
	size_t n;
};

/* Of the headers in @dir; without that file nothing is exported. -ENOMEM; -ENOEXEC: too large. */
int vp_exports_read(struct vp_exports *e, const char *dir, struct vp_err *err);
void vp_exports_free(struct vp_exports *e);

/* The module, or NULL: the kernel itself, or nobody; *@exported tells. */
const char *vp_exports_find(const struct vp_exports *e, const char *symbol, bool *exported);

#endif /* VP_BUILD_EXPORTS_H */
