/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "base/similar.h"

#define OPTIONS_MAX 16

const char *const vp_strategy_choices[] = { "int3", "stop", NULL };

static int choose(const char *cmd, const struct vp_option *o)
{
	char list[128] = "";
	size_t used = 0;

	for (const char *const *c = o->choices; *c; c++) {
		const char *glue = c == o->choices ? "" : c[1] ? ", " : " or ";

		if (!strcmp(optarg, *c)) {
			*(const char **)o->value = optarg;
			return -1;
		}
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", glue, *c);
	}
	return vp_cmd_fail(cmd, VP_EXIT_USAGE, "--%s %s is not %s", o->name, optarg, list);
}

/* Store one option that was given. -1, or an exit code. */
static int store(const char *cmd, const struct vp_option *o)
{
	switch (o->kind) {
	case VP_OPTION_FLAG:
		*(bool *)o->value = true;
		return -1;
	case VP_OPTION_TEXT:
		*(const char **)o->value = optarg;
		return -1;
	case VP_OPTION_MAYBE:
		*(uint64_t *)o->value = UINT64_MAX;
		if (!optarg)
			return -1;
		/* fall through */
	case VP_OPTION_NUMBER:
		if (!vp_cmd_number(optarg, o->min, o->max, o->value))
			return -1;
		return vp_cmd_fail(cmd, VP_EXIT_USAGE,
				   "--%s %s is not a number from %" PRIu64 " to %" PRIu64, o->name,
				   optarg, o->min, o->max);
	case VP_OPTION_CHOICE:
		break;
	}
	return choose(cmd, o);
}

/* Options of one letter go with one dash, too. */
static void add_shorts(char *shorts, const struct option *longs)
{
	char *end = shorts + strlen(shorts);

	for (; longs->name; longs++) {
		if (longs->name[1])
			continue;
		*end++ = longs->name[0];
		if (longs->has_arg)
			*end++ = ':';
	}
	*end = '\0';
}

/* The operands stand in the first line of @help, in capitals: "usage: vmpoke imm TARGET SITE ...".
 */
static void name_operand(const char *help, int n, char *name, size_t size)
{
	const char *line = strstr(help, "vmpoke "), *end = line ? strchr(line, '\n') : NULL;
	int seen = 0;

	snprintf(name, size, "an operand");
	for (const char *at = line; at && end && at < end; at += strcspn(at, " \n") + 1) {
		size_t len = strcspn(at, " \n");

		if (*at >= 'A' && *at <= 'Z' && seen++ == n) {
			snprintf(name, size, "%.*s", (int)len, at);
			return;
		}
	}
}

static int check_operands(int argc, char **argv, const char *help, int min, int max)
{
	char name[48];

	if (argc - optind > max)
		return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "what is \"%s\"? see --help",
				   argv[optind + max]);
	if (argc - optind >= min)
		return -1;
	name_operand(help, argc - optind, name, sizeof(name));
	return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "%s is missing; see --help", name);
}

static int bad_option(char **argv, const struct vp_option *options)
{
	struct vp_similar similar;
	char word[64];

	snprintf(word, sizeof(word), "%s", argv[optind - 1]);
	word[strcspn(word, "=")] = '\0';
	vp_similar_begin(&similar, word[0] && word[1] ? word + 2 : word);
	for (; options->name; options++)
		vp_similar_offer(&similar, options->name);
	vp_similar_offer(&similar, "help");
	if (similar.best)
		return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "there is no %s; did you mean --%s?",
				   word, similar.best);
	return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "there is no %s; see --help", word);
}

static int has_arg(enum vp_option_kind kind)
{
	return kind == VP_OPTION_FLAG	 ? no_argument
	       : kind == VP_OPTION_MAYBE ? optional_argument
					 : required_argument;
}

/* A negative number is no option; with a blank before it getopt() sees that, too. */
static void hide_numbers(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *hidden;

		if (argv[i][0] != '-' || !isdigit((unsigned char)argv[i][1]) ||
		    argv[i][1 + strspn(argv[i] + 1, "0123456789abcdefABCDEFxX")])
			continue;
		hidden = malloc(strlen(argv[i]) + 2); /* for as long as the process runs */
		if (hidden) {
			sprintf(hidden, " %s", argv[i]);
			argv[i] = hidden;
		}
	}
}

int vp_options_parse(int argc, char **argv, const char *help, const struct vp_option *options,
		     int min, int max)
{
	struct option longs[OPTIONS_MAX + 2] = { 0 };
	char shorts[2 * OPTIONS_MAX + 3] = ":h";
	int n = 0, at, c, code;

	for (; n < OPTIONS_MAX && options[n].name; n++)
		longs[n] = (struct option){
			.name = options[n].name,
			.has_arg = has_arg(options[n].kind),
		};
	longs[n] = (struct option){ .name = "help", .val = 'h' };
	add_shorts(shorts, longs);
	opterr = 0;
	hide_numbers(argc, argv);
	while ((c = getopt_long(argc, argv, shorts, longs, &at)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return VP_EXIT_OK;
		}
		for (int i = 0; c && i < n; i++)
			if (c == options[i].name[0] && !options[i].name[1])
				at = i, c = 0;
		if (c == ':')
			return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "%s wants a value; see --help",
					   argv[optind - 1]);
		if (c && optopt)
			return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "there is no -%c; see --help",
					   optopt);
		if (c)
			return bad_option(argv, options);
		code = store(argv[0], &options[at]);
		if (code >= 0)
			return code;
	}
	return check_operands(argc, argv, help, min, max);
}
