/* SPDX-License-Identifier: Apache-2.0 */
/* A hotfix's object on its way to a guest, and what is said of it. */
#ifndef VP_CLI_HOTFIX_OBJECT_H
#define VP_CLI_HOTFIX_OBJECT_H

#include <jansson.h>
#include <stdint.h>

/*
 * Read the object at @path, open @target (@kernel may be NULL), and call @run with the object in
 * hexadecimal. An exit code; what is wrong was said.
 */
struct vp_client;
int vp_hotfix_object_with(const char *me, const char *target, const char *kernel, const char *path,
			  int (*run)(struct vp_client *c, const void *arg, const char *hex),
			  const void *arg);

/* The object at @path in hexadecimal, for free(). An exit code; what is wrong was said. */
int vp_hotfix_object_read(const char *me, const char *path, char **hex);

/* Tell why it does not fit, a line each. An exit code: VP_EXIT_OK if it does. */
int vp_hotfix_blockers_tell(const char *me, const char *path, const json_t *fit);

#endif /* VP_CLI_HOTFIX_OBJECT_H */
