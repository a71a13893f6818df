/* SPDX-License-Identifier: Apache-2.0 */
/* A hotfix's object on its way to a guest, and what is said of it. */
#ifndef VP_CLI_HOTFIX_OBJECT_H
#define VP_CLI_HOTFIX_OBJECT_H

#include <jansson.h>
#include <stdint.h>

struct vp_client;
struct vp_hotfix_sent;

/* What is asked of its signature, before anything else is done. */
enum vp_hotfix_signing {
	VP_SIGNING_MUST, /* one that the user's keyring does not take is refused; then the guest's
			    side asks */
	VP_SIGNING_TOLD, /* who calls asks */
	VP_SIGNING_NONE, /* nobody */
};

/* An object as it was read: once. For vp_hotfix_object_free(). */
struct vp_hotfix_loaded {
	char *hex;	 /* its bytes */
	char *signature; /* those of PATH.minisig; NULL: there is none, or it is in the object */
};

/* Read the object at @path, and the signature beside it. An exit code; what is wrong was said. */
int vp_hotfix_object_read(const char *me, const char *path, struct vp_hotfix_loaded *out);
void vp_hotfix_object_free(struct vp_hotfix_loaded *object);

/*
 * Read the object at @path, open @target (@kernel may be NULL), and call @run with it. An exit
 * code; what is wrong was said.
 */
int vp_hotfix_object_with(const char *me, const char *target, const char *kernel, const char *path,
			  enum vp_hotfix_signing signing,
			  int (*run)(struct vp_client *c, const void *arg,
				     const struct vp_hotfix_sent *sent),
			  const void *arg);

/* As arguments of a command. */
json_t *vp_hotfix_object_args(const struct vp_hotfix_sent *sent);

#define VP_KEYRING_HELP                                                                 \
	"  --keyring DIR    one of the keys in DIR must have signed it, too; default\n" \
	"                   $VMPOKE_KEYRING (docs/signing.md)\n"
#define VP_KEYRING_OPTION VP_TEXT("keyring", &vp_common.keyring)

/* Tell why it does not fit, a line each. An exit code: VP_EXIT_OK if it does. */
int vp_hotfix_blockers_tell(const char *me, const char *path, const json_t *fit);

#endif /* VP_CLI_HOTFIX_OBJECT_H */
