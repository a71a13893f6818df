/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hotfix_object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "target/hex.h"

#define VP_HOTFIX_IDLE_MS 30000 /* --when-idle without a number */

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

void vp_hotfix_idle_set(json_t *args, uint64_t seconds)
{
	if (seconds)
		json_object_set_new(args, "when-idle",
				    json_integer(seconds == UINT64_MAX
							 ? VP_HOTFIX_IDLE_MS
							 : (json_int_t)seconds * 1000));
}

static void show(const char *name, const json_t *data)
{
	if (!strcmp(name, "HOTFIX_STEP"))
		fprintf(stderr, "\r\033[K%.100s ...", vp_client_text(data, "step"));
}

void vp_hotfix_progress_begin(struct vp_client *c)
{
	if (c->remote && isatty(STDERR_FILENO))
		vp_remote_listen(c->remote, show);
}

void vp_hotfix_progress_end(struct vp_client *c)
{
	if (!c->remote || !isatty(STDERR_FILENO))
		return;
	vp_remote_listen(c->remote, NULL);
	fputs("\r\033[K", stderr);
}

void vp_hotfix_cost_tell(const json_t *answer)
{
	long long bytes = vp_client_int(answer, "memory-bytes");

	printf("  took %lld ms, %lld call(s) in the guest", vp_client_int(answer, "wall-ms"),
	       vp_client_int(answer, "calls"));
	if (vp_client_int(answer, "pauses"))
		printf(", %lld pause(s), %.1f ms the longest", vp_client_int(answer, "pauses"),
		       (double)vp_client_int(answer, "longest-pause-us") / 1000);
	if (bytes)
		printf(", %lld bytes of its memory", bytes);
	if (vp_client_int(answer, "freed-bytes"))
		printf(", freed %lld bytes", vp_client_int(answer, "freed-bytes"));
	putchar('\n');
}
