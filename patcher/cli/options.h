/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a subcommand as a table. */
#ifndef VP_CLI_OPTIONS_H
#define VP_CLI_OPTIONS_H

#include <vmpoke/local.h>

#include "cli/common.h"

enum vp_option_kind {
	VP_OPTION_FLAG,	  /* bool */
	VP_OPTION_TEXT,	  /* const char * */
	VP_OPTION_NUMBER, /* uint64_t, min to max */
	VP_OPTION_CHOICE, /* const char *, one of choices */
	VP_OPTION_MAYBE,  /* uint64_t, as --NAME=NUMBER; --NAME alone: UINT64_MAX */
};

struct vp_option {
	const char *name; /* without the dashes; of one letter: a short one, too */
	enum vp_option_kind kind;
	void *value; /* left alone if the option is not given */
	uint64_t min, max;
	const char *const *choices; /* ends with NULL */
};

#define VP_FLAG(name, value)                            \
	{                                               \
		name, VP_OPTION_FLAG, value, 0, 0, NULL \
	}
#define VP_TEXT(name, value)                            \
	{                                               \
		name, VP_OPTION_TEXT, value, 0, 0, NULL \
	}
#define VP_NUMBER(name, value, min, max)                      \
	{                                                     \
		name, VP_OPTION_NUMBER, value, min, max, NULL \
	}
#define VP_MAYBE(name, value, min, max)                      \
	{                                                    \
		name, VP_OPTION_MAYBE, value, min, max, NULL \
	}
#define VP_CHOICE(name, value, choices)                      \
	{                                                    \
		name, VP_OPTION_CHOICE, value, 0, 0, choices \
	}
#define VP_OPTIONS_END                                 \
	{                                              \
		NULL, VP_OPTION_FLAG, NULL, 0, 0, NULL \
	}

/* Operand @n, if there are @of at least, is a TARGET: with --connect URI, one of that libvirt. */
#define VP_TARGET_OF(n, of)                                                \
	{                                                                  \
		"connect", VP_OPTION_TEXT, &vp_common.connect, n, of, NULL \
	}
#define VP_TARGET(n) VP_TARGET_OF(n, (n) + 1)

/* More is not taken. */
#define VP_OPTIONS_MAX 20

/* What many commands take. */
#define VP_KERNEL_HELP                                                                          \
	"  --kernel FILE    a vmlinux, bzImage or System.map that the guest's kernel must be\n" \
	"                   of; for guests of QEMU and libvirt\n"
#define VP_TIMEOUT_OPTION(value) VP_NUMBER("timeout", value, 1, VP_CMD_TIMEOUT_MAX)
extern const char *const vp_strategy_choices[];
extern const char *const vp_serializer_choices[]; /* as vp_serializer_name() */

/* What was chosen of them; NULL: auto. */
enum vp_serializer vp_options_serializer(const char *name);

/*
 * Parse the command line of subcommand argv[0]; --help, --verbose and --quiet are known to all.
 * There must be @min to @max operands, which are argv[optind] and on; a negative number is none of
 * the options, and has a blank before it then. Returns an exit code (what is wrong was said), or -1
 * to go on.
 */
int vp_options_parse(int argc, char **argv, const char *help, const struct vp_option *options,
		     int min, int max);

/* Operand @n of the command line that was parsed last; NULL: it has no more. */
const char *vp_options_operand(int n);

/* As --help has them: those that every command takes; the first one with a TARGET only. */
extern const char vp_options_common_help[];

/*
 * Until it is called with NULL: vp_options_parse() parses nothing, but tells @fn what the command
 * takes, and returns an exit code.
 */
void vp_options_describe(void (*fn)(void *arg, const char *help, const struct vp_option *options),
			 void *arg);

#endif /* VP_CLI_OPTIONS_H */
