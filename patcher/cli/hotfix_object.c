/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hotfix_object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/common.h"
#include "control/hotfix_file.h"
#include "target/hex.h"

/* At most @max bytes of @file, in hexadecimal. */
static int read_hex(const char *me, const char *path, FILE *file, size_t max, char **hex)
{
	uint8_t *bytes = malloc(max + 1);
	size_t n;
	int code = VP_EXIT_OK;

	if (!bytes)
		return vp_cmd_fail(me, VP_EXIT_HOST, "out of memory");
	n = fread(bytes, 1, max + 1, file);
	if (ferror(file))
		code = vp_cmd_fail(me, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	else if (n > max)
		code = vp_cmd_fail(me, VP_EXIT_FILE, "%s: more than %zu bytes", path, max);
	else if (!(*hex = malloc(2 * n + 1)))
		code = vp_cmd_fail(me, VP_EXIT_HOST, "out of memory");
	else
		vp_hex_format(bytes, n, *hex);
	free(bytes);
	return code;
}

/* That there is none is no error; one that cannot be read is. */
static int read_signature(const char *me, const char *object, char **hex)
{
	char path[PATH_MAX];
	struct stat st;
	FILE *file;
	int fd, code;

	if (snprintf(path, sizeof(path), "%s.minisig", object) >= (int)sizeof(path))
		return VP_EXIT_OK;			    /* no such file can be */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* nobody may write into a pipe */
	if (fd < 0 && errno == ENOENT)
		return VP_EXIT_OK;
	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		return vp_cmd_fail(me, VP_EXIT_FILE, "%s is no file", path);
	}
	file = fd < 0 ? NULL : fdopen(fd, "rb");
	if (!file)
		return vp_cmd_fail(me, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	code = read_hex(me, path, file, VP_SIGN_FILE_MAX, hex);
	fclose(file);
	return code;
}

int vp_hotfix_object_read(const char *me, const char *path, struct vp_hotfix_loaded *out)
{
	FILE *file = fopen(path, "rbe");
	int code;

	*out = (struct vp_hotfix_loaded){ NULL, NULL };
	if (!file)
		return vp_cmd_fail(me, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	code = read_hex(me, path, file, VP_HOTFIX_OBJECT_MAX, &out->hex);
	fclose(file);
	return code ? code : read_signature(me, path, &out->signature);
}

void vp_hotfix_object_free(struct vp_hotfix_loaded *object)
{
	free(object->hex);
	free(object->signature);
}

/* What the user wants, before the guest is looked at; the system's keyring counts, too. */
static int check_here(const char *me, const struct vp_hotfix_sent *sent)
{
	const struct vp_keyrings keyrings = { .own = vp_cmd_keyring(vp_common.keyring) };
	struct vp_err err = { "" };
	int rc = vp_hotfix_sent_check(sent, &keyrings, &err);

	return rc ? vp_cmd_fail(me, vp_exit_code(rc), "%s: %s", sent->what, err.text) : VP_EXIT_OK;
}

int vp_hotfix_object_with(const char *me, const char *target, const char *kernel, const char *path,
			  enum vp_hotfix_signing signing,
			  int (*run)(struct vp_client *c, const void *arg,
				     const struct vp_hotfix_sent *sent),
			  const void *arg)
{
	struct vp_client c;
	struct vp_hotfix_loaded object;
	int code = vp_hotfix_object_read(me, path, &object);
	const struct vp_hotfix_sent sent = { path, object.hex, object.signature };

	if (!code && signing == VP_SIGNING_MUST)
		code = check_here(me, &sent);
	if (!code) {
		code = vp_client_open_linux(&c, me, target, VP_CLIENT_TIMEOUT_MS, kernel);
		if (!code)
			code = run(&c, arg, &sent);
		code = vp_client_close(&c, code);
	}
	vp_hotfix_object_free(&object);
	return code;
}

json_t *vp_hotfix_object_args(const struct vp_hotfix_sent *sent)
{
	json_t *args = json_pack("{s:s, s:s}", "what", sent->what, "object", sent->hex);

	if (args && sent->signature)
		json_object_set_new(args, "signature", json_string(sent->signature));
	return args;
}

int vp_hotfix_blockers_tell(const char *me, const char *path, const json_t *fit)
{
	const json_t *blocker;
	size_t i;

	json_array_foreach(json_object_get(fit, "blockers"), i, blocker)
		vp_cmd_fail(me, VP_EXIT_REFUSED, "%s: %s", path, json_string_value(blocker));
	if (vp_client_int(fit, "more"))
		vp_cmd_fail(me, VP_EXIT_REFUSED, "%s: and %lld more", path,
			    vp_client_int(fit, "more"));
	return json_is_true(json_object_get(fit, "fits")) ? VP_EXIT_OK : VP_EXIT_REFUSED;
}
