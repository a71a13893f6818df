/* SPDX-License-Identifier: Apache-2.0 */
/* Folders for files that must be there after a crash of the host; and which file a name is. */
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

/*
 * What tells the file @path from every other one of this host, also from one that came later:
 * "DEVICE-INODE-BIRTH". Inodes are used again, on most file systems at once, but hardly within
 * the tick (some ms) that births are told by; those that tell none (tmpfs before Linux 6.6) count
 * their inodes up, and BIRTH is 0 there. -errno.
 */
#define VP_FILE_KEY 52
int vp_file_key(const char *path, char text[VP_FILE_KEY]);

#endif /* VP_TARGET_FOLDER_H */
