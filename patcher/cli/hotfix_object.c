/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hotfix_object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "target/hex.h"

int vp_hotfix_object_read(const char *me, const char *path, char **hex)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(VP_HOTFIX_OBJECT_MAX + 1);
	size_t n;
	int code = VP_EXIT_OK;

	*hex = NULL;
	if (!bytes) {
		code = vp_cmd_fail(me, VP_EXIT_HOST, "out of memory");
	} else if (!file) {
		code = vp_cmd_fail(me, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	} else {
		n = fread(bytes, 1, VP_HOTFIX_OBJECT_MAX + 1, file);
		if (ferror(file))
			code = vp_cmd_fail(me, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
		else if (n > VP_HOTFIX_OBJECT_MAX)
			code = vp_cmd_fail(me, VP_EXIT_FILE, "%s: more than %u bytes", path,
					   VP_HOTFIX_OBJECT_MAX);
		else if (!(*hex = malloc(2 * n + 1)))
			code = vp_cmd_fail(me, VP_EXIT_HOST, "out of memory");
		else
			vp_hex_format(bytes, n, *hex);
	}
	if (file)
		fclose(file);
	free(bytes);
	return code;
}

int vp_hotfix_object_with(const char *me, const char *target, const char *kernel, const char *path,
			  int (*run)(struct vp_client *c, const void *arg, const char *hex),
			  const void *arg)
{
	struct vp_client c;
	char *hex = NULL;
	int code = vp_hotfix_object_read(me, path, &hex);

	if (!code) {
		code = vp_client_open_linux(&c, me, target, VP_CLIENT_TIMEOUT_MS, kernel);
		if (!code)
			code = run(&c, arg, hex);
		code = vp_client_close(&c, code);
	}
	free(hex);
	return code;
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
