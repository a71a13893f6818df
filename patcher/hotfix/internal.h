/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that read a hotfix's notes: object.c, info.c, records.c. */
#ifndef VP_HOTFIX_INTERNAL_H
#define VP_HOTFIX_INTERNAL_H

#include "hotfix/object.h"

struct vp_hotfix_object {
	const struct vp_elf_object *elf;
	struct vp_hotfix_about about;
	const char *releases[VMPOKE_FOR_COUNT];
	const char *build_ids[VMPOKE_FOR_COUNT];
	struct vp_hotfix_function functions[VMPOKE_FUNCTION_COUNT];
	struct vp_hotfix_name symbols[VMPOKE_LOCAL_COUNT];
	struct vp_hotfix_call calls[VMPOKE_CALL_COUNT];
	struct vp_hotfix_use uses[VMPOKE_USE_COUNT];
	size_t nuses;
};

/* The number of the only section @name; 0: there is none, or (a blocker) there are several. */
size_t vp_hotfix_section(const struct vp_hotfix_object *o, const char *name,
			 struct vp_blockers *blockers);

/* Each reads its part into @o; what is wrong becomes a blocker. */
void vp_hotfix_read_info(struct vp_hotfix_object *o, struct vp_blockers *blockers);
void vp_hotfix_read_records(struct vp_hotfix_object *o, struct vp_blockers *blockers);

#endif /* VP_HOTFIX_INTERNAL_H */
