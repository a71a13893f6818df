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

const char *const vp_strategy_choices[] = { "int3", "stop", NULL };
const char *const vp_serializer_choices[] = { "auto", "kick", "kick-membarrier", "membarrier",
					      NULL };

enum vp_serializer vp_options_serializer(const char *name)
{
	enum vp_serializer s = VP_SERIALIZER_MEMBARRIER;

	while (s != VP_SERIALIZER_AUTO && (!name || strcmp(name, vp_serializer_name(s)) != 0))
		s--;
	return s;
}

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

/* An option that was not written out. */
static bool is_cut_short(char **argv, const char *name)
{
	const char *word = argv[optind - 1];

	if (optarg == word) /* its value is a word of its own */
		word = argv[optind - 2];
	return strcspn(word, "=") != strlen("--") + strlen(name);
}

/* The operands stand in the first line of @help, in capitals: "usage: vmpoke imm TARGET SITE ...".
 */
static void name_operand(const char *help, int n, char *name, size_t size)
{
	const char *at = strstr(help, "vmpoke ");
	int seen = 0;

	snprintf(name, size, "an operand");
	/* Options, and operands that need not be there, come behind them. */
	for (; at && *at && !strchr("[-\n", *at); at += strcspn(at, " \n"), at += *at == ' ') {
		if (!isupper((unsigned char)*at) || seen++ != n)
			continue;
		snprintf(name, size, "%.*s", (int)strcspn(at, " \n"), at);
		return;
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
	for (; options->name; options++) {
		if (!strncmp(word, "--", 2) && !strcmp(word + 2, options->name))
			return vp_cmd_fail(argv[0], VP_EXIT_USAGE, "%s takes no value", word);
		vp_similar_offer(&similar, options->name);
	}
	vp_similar_offer(&similar, "help");
	vp_similar_offer(&similar, "verbose");
	vp_similar_offer(&similar, "quiet");
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

const char vp_options_common_help[] =
	"\n"
	"  --connect URI  TARGET is a domain of the libvirt at URI, as for virsh\n"
	"  --verbose, -v  say what is asked of whom, and how long each answer took\n"
	"  --quiet        no hints, no notes, no progress\n"
	"  --help, -h     this\n";

static struct {
	void (*fn)(void *arg, const char *help, const struct vp_option *options);
	void *arg;
} described;

void vp_options_describe(void (*fn)(void *arg, const char *help, const struct vp_option *options),
			 void *arg)
{
	described.fn = fn;
	described.arg = arg;
}

static void print_help(const char *help, const struct vp_option *options)
{
	const char *common = vp_options_common_help, *first = common + 1;
	bool connect = false;

	for (; options->name; options++)
		connect |= options->value == &vp_common.connect && options->max;
	fputs(help, stdout);
	printf("\n%s", connect ? first : first + strcspn(first, "\n") + 1);
}

static char **operands; /* ends with NULL */

const char *vp_options_operand(int n)
{
	for (char **o = operands; o && *o; o++)
		if (!n--)
			return *o;
	return NULL;
}

/* All is known: what holds for every command. */
static int finish(char **argv, const struct vp_option *options)
{
	int code = -1;

	operands = &argv[optind];
	vp_common_begin();
	for (; options->name && code < 0; options++)
		if (options->value == &vp_common.connect && options->max &&
		    vp_options_operand((int)options->max - 1))
			code = vp_common_target(argv[0], &argv[optind + (int)options->min]);
	return code;
}

int vp_options_parse(int argc, char **argv, const char *help, const struct vp_option *options,
		     int min, int max)
{
	struct option longs[VP_OPTIONS_MAX + 4] = { 0 };
	char shorts[2 * VP_OPTIONS_MAX + 4] = ":hv";
	int n = 0, at, c, code;

	if (described.fn) {
		described.fn(described.arg, help, options);
		return VP_EXIT_OK;
	}
	for (; n < VP_OPTIONS_MAX && options[n].name; n++)
		longs[n] = (struct option){
			.name = options[n].name,
			.has_arg = has_arg(options[n].kind),
		};
	longs[n] = (struct option){ .name = "help", .val = 'h' };
	longs[n + 1] = (struct option){ .name = "verbose", .val = 'v' };
	longs[n + 2] = (struct option){ .name = "quiet", .val = 'q' };
	add_shorts(shorts, longs);
	opterr = 0;
	hide_numbers(argc, argv);
	while ((c = getopt_long(argc, argv, shorts, longs, &at)) != -1) {
		if (c == 'h') {
			print_help(help, options);
			return VP_EXIT_OK;
		}
		if (c == 'v' || c == 'q') {
			*(c == 'v' ? &vp_common.verbose : &vp_common.quiet) = true;
			continue;
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
		if (options[at].name[1] && is_cut_short(argv, options[at].name))
			return vp_cmd_fail(argv[0], VP_EXIT_USAGE,
					   "options are written out: did you mean --%s?",
					   options[at].name);
		code = store(argv[0], &options[at]);
		if (code >= 0)
			return code;
	}
	code = check_operands(argc, argv, help, min, max);
	return code < 0 ? finish(argv, options) : code;
}
