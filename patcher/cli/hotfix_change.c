/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hotfix_change.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"

#define IDLE_MS 30000 /* --when-idle without a number */

int vp_hotfix_change_check(const char *me, const struct vp_hotfix_change *change)
{
	if (change->when_idle && (change->no_wait || change->force))
		return vp_cmd_fail(me, VP_EXIT_USAGE,
				   "--when-idle goes with neither --no-wait nor --force");
	return -1;
}

/* --- progress ------------------------------------------------------------------- */

static void show(const char *name, const json_t *data)
{
	if (!strcmp(name, "HOTFIX_STEP"))
		fprintf(stderr, "\r\033[K%.100s ...", vp_client_text(data, "step"));
}

/* One line on a terminal, until it is over. */
static void progress_begin(struct vp_client *c)
{
	if (c->remote && isatty(STDERR_FILENO))
		vp_remote_listen(c->remote, show);
}

static void progress_end(struct vp_client *c)
{
	if (!c->remote || !isatty(STDERR_FILENO))
		return;
	vp_remote_listen(c->remote, NULL);
	fputs("\r\033[K", stderr);
}

/* --- the command ------------------------------------------------------------------ */

static void add_options(json_t *args, const struct vp_hotfix_change *change)
{
	json_object_set_new(args, "no-wait", json_boolean(change->no_wait));
	json_object_set_new(args, "force", json_boolean(change->force));
	json_object_set_new(args, "dry-run", json_boolean(change->dry_run));
	if (change->when_idle)
		json_object_set_new(args, "when-idle",
				    json_integer(change->when_idle == UINT64_MAX
							 ? IDLE_MS
							 : (json_int_t)change->when_idle * 1000));
}

int vp_hotfix_change_call(struct vp_client *c, const char *command, json_t *args,
			  const struct vp_hotfix_change *change, json_t **ret)
{
	struct vp_err err = { "" };
	int rc, code;

	add_options(args, change);
	progress_begin(c);
	code = vp_client_try(c, command, args, ret, &rc, &err);
	progress_end(c);
	if (code && !vp_client_is_broken(c))
		vp_cmd_fail(c->cmd, code, "%s", err.text);
	return code;
}

static void tell_cost(const json_t *answer)
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

void vp_hotfix_change_tell(const struct vp_hotfix_change *change, const json_t *answer)
{
	if (*vp_client_text(answer, "inside"))
		printf("  forced: %s\n", vp_client_text(answer, "inside"));
	if (*vp_client_text(answer, "forced"))
		printf("  forced: %s\n", vp_client_text(answer, "forced"));
	if (!change->dry_run)
		tell_cost(answer);
}
