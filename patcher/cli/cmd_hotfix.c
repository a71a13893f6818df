/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_hotfix.h"

const struct vp_cmd vp_hotfix_commands[] = {
	{ "build", "make a hotfix object of a C source, or of a diff", vp_cmd_hotfix_build, NULL },
	{ "diff", "what differs between two compilations of a source", vp_cmd_hotfix_diff, NULL },
	{ "check", "does it fit this guest? nothing is written", vp_cmd_hotfix_check, NULL },
	{ "expect", "write into it what code it replaces", vp_cmd_hotfix_expect, NULL },
	{ "keygen", "make a pair of keys", vp_cmd_hotfix_keygen, NULL },
	{ "sign", "sign a hotfix object", vp_cmd_hotfix_sign, NULL },
	{ "apply", "replace the functions of a running guest", vp_cmd_hotfix_apply, NULL },
	{ "remove", "give it its own functions back", vp_cmd_hotfix_remove, NULL },
	{ "list", "the hotfixes that are in a guest, by its memory", vp_cmd_hotfix_list, NULL },
	{ NULL, NULL, NULL, NULL },
};
