/* SPDX-License-Identifier: Apache-2.0 */
/* Folders for files that must be there after a crash of the host. */
#ifndef VP_TARGET_FOLDER_H
#define VP_TARGET_FOLDER_H

#include <vmpoke/types.h>

/*
 * Make the folder @path and those above it that are missing, mode 0700, and see them on the disk;
 * those that are there stay as they are. As mkdir().
 */
int vp_folder_make(const char *path, struct vp_err *err);

/* The same for the folder of the file @path. */
int vp_folder_make_for(const char *path, struct vp_err *err);

/* What was made, renamed or removed in the folder of @path is on the disk afterwards. -errno. */
int vp_folder_sync_for(const char *path, struct vp_err *err);

#endif /* VP_TARGET_FOLDER_H */
