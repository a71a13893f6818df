/* SPDX-License-Identifier: Apache-2.0 */
/* What vmpoke hotfix apply and remove share: both change a guest at a moment of its own. */
#ifndef VP_CLI_HOTFIX_CHANGE_H
#define VP_CLI_HOTFIX_CHANGE_H

#include <jansson.h>

#include "cli/options.h"

struct vp_client;

/* The options of both; all zero: none is given. */
struct vp_hotfix_change {
	const char *kernel;
	uint64_t when_idle; /* seconds; UINT64_MAX: without a number; 0: not given */
	bool no_wait, force, dry_run, json;
};

#define VP_HOTFIX_IDLE_MAX 600u /* seconds of --when-idle */

/* As rows of a table of options. */
#define VP_HOTFIX_CHANGE_OPTIONS(change)                                                      \
	VP_MAYBE("when-idle", &(change)->when_idle, 1, VP_HOTFIX_IDLE_MAX),                   \
		VP_FLAG("no-wait", &(change)->no_wait), VP_FLAG("force", &(change)->force),   \
		VP_FLAG("dry-run", &(change)->dry_run), VP_TEXT("kernel", &(change)->kernel), \
		VP_FLAG("json", &(change)->json)

/* Do those that are given go together? As vp_options_parse(). */
int vp_hotfix_change_check(const char *me, const struct vp_hotfix_change *change);

/*
 * Have @command do it, with @args, which are stolen, and these options; what it is at is shown on a
 * terminal. An exit code; what is wrong was said.
 */
int vp_hotfix_change_call(struct vp_client *c, const char *command, json_t *args,
			  const struct vp_hotfix_change *change, json_t **ret);

/* Lines on what was passed over, and on what it took. */
void vp_hotfix_change_tell(const struct vp_hotfix_change *change, const json_t *answer);

#endif /* VP_CLI_HOTFIX_CHANGE_H */
