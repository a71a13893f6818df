/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/complete.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

#define FILE_NAMES ":files\n"

/* The command that is being completed, as its own file tells it. */
struct command {
	const char *help; /* NULL: there is none of that name */
	struct vp_option options[VP_OPTIONS_MAX + 1];
};

static void offer(const char *word, size_t len, const char *typed, const char *what,
		  size_t what_len)
{
	if (len < strlen(typed) || strncmp(word, typed, strlen(typed)) != 0)
		return;
	printf("%.*s\t%.*s\n", (int)len, word, (int)what_len, what);
}

static void offer_table(const struct vp_cmd *table, const char *typed)
{
	for (; table->name; table++)
		offer(table->name, strlen(table->name), typed, table->summary,
		      strlen(table->summary));
}

static void take(void *arg, const char *help, const struct vp_option *options)
{
	struct command *c = arg;

	c->help = help;
	for (size_t i = 0; i < VP_OPTIONS_MAX && options[i].name; i++)
		c->options[i] = options[i];
}

/* --- options ------------------------------------------------------------------ */

/* What --help says of it: what stands behind its name there, on that line. */
static const char *what_is(const char *help, const char *name, size_t *len)
{
	size_t n = strlen(name);

	for (const char *at = help; (at = strstr(at, "\n  --")); at++) {
		const char *text = at + strlen("\n  --");

		if (strncmp(text, name, n) != 0 || !strchr(" [=,\n", text[n]))
			continue;
		text = strstr(text, "  ");
		if (!text || strcspn(at + 1, "\n") <= (size_t)(text - at))
			break;
		text += strspn(text, " ");
		*len = strcspn(text, "\n");
		return text;
	}
	*len = 0;
	return "";
}

static void offer_option(const char *help, const char *name, const char *typed)
{
	char word[64];
	size_t len;
	const char *what = what_is(help, name, &len);

	if (!len)
		what = what_is(vp_options_common_help, name, &len);
	snprintf(word, sizeof(word), "%s%s", name[1] ? "--" : "-", name);
	offer(word, strlen(word), typed, what, len);
}

static void offer_options(const struct command *c, const char *typed)
{
	for (const struct vp_option *o = c->options; o->name; o++)
		offer_option(c->help, o->name, typed);
	offer_option("", "verbose", typed);
	offer_option("", "quiet", typed);
	offer_option("", "help", typed);
}

/* The option that @word is, if its value is to be the next word. */
static const struct vp_option *wants_value(const struct command *c, const char *word)
{
	const char *name = word + strspn(word, "-");

	for (const struct vp_option *o = c->options; *word == '-' && o->name; o++)
		if (!strcmp(o->name, name) && o->kind != VP_OPTION_FLAG &&
		    o->kind != VP_OPTION_MAYBE)
			return o;
	return NULL;
}

static void offer_value(const struct vp_option *o, const char *typed)
{
	if (o->kind == VP_OPTION_TEXT && o->value != &vp_common.connect)
		fputs(FILE_NAMES, stdout);
	for (const char *const *c = o->choices; c && *c; c++)
		offer(*c, strlen(*c), typed, "", 0);
}

/* --- operands ----------------------------------------------------------------- */

#define OPERANDS_MAX 8

/* The next word of a line of usage; false: there is none that is an operand. */
static bool usage_word(const char **line, const char **word, size_t *len)
{
	*line += strspn(*line, " ");
	*word = *line;
	*len = strcspn(*line, " \n");
	*line += *len;
	return *len && (isalpha((unsigned char)**word));
}

static void offer_words(const char *word, size_t len, const char *typed)
{
	while (len) {
		size_t part = strcspn(word, "| \n"), step = part + (part < len);

		offer(word, part, typed, "", 0);
		word += step;
		len -= step;
	}
}

enum operand { NOTHING, TARGETS, FILES };

/* If this line of usage goes on behind @given: offer its words, or say what it wants. */
static enum operand offer_by_usage(const char *line, const char *const *given, int n,
				   const char *typed)
{
	const char *word;
	size_t len;

	for (int i = 0; i < n; i++)
		if (!usage_word(&line, &word, &len) ||
		    (islower((unsigned char)*word) &&
		     (strlen(given[i]) != len || strncmp(given[i], word, len) != 0)))
			return NOTHING;
	if (!usage_word(&line, &word, &len))
		return NOTHING;
	if (islower((unsigned char)*word))
		offer_words(word, len, typed);
	if (!strncmp(word, "TARGET", len))
		return TARGETS;
	return !strncmp(word, "OBJECT", len) || !strncmp(word, "SOURCE", len) ? FILES : NOTHING;
}

static void offer_operand(const struct command *c, const char *name, const char *const *given,
			  int n, const char *typed)
{
	bool wanted[FILES + 1] = { false };
	char begin[64];

	snprintf(begin, sizeof(begin), "vmpoke %s ", name);
	for (const char *line = c->help; line && *line && *line != '\n';) {
		const char *at = strstr(line, begin), *end = strchr(line, '\n');

		if (at && end && at < end)
			wanted[offer_by_usage(at + strlen(begin), given, n, typed)] = true;
		line = end ? end + 1 : NULL;
	}
	if (wanted[TARGETS])
		vp_list_targets(typed);
	if (wanted[FILES])
		fputs(FILE_NAMES, stdout);
}

/* --- all ------------------------------------------------------------------------ */

static int complete(const struct vp_cmd *cmd, const char *name, int nwords, char **words)
{
	const char *given[OPERANDS_MAX], *typed = words[nwords - 1];
	char *argv[] = { (char *)cmd->name, NULL };
	const struct vp_option *pending = NULL;
	struct command c = { 0 };
	int n = 0;

	vp_options_describe(take, &c);
	cmd->run(1, argv);
	vp_options_describe(NULL, NULL);
	if (!c.help)
		return VP_EXIT_OK;
	for (int i = 0; i + 1 < nwords; i++) {
		if (pending) {
			pending = NULL;
			continue;
		}
		pending = wants_value(&c, words[i]);
		if (*words[i] != '-' && n < OPERANDS_MAX)
			given[n++] = words[i];
	}
	if (pending)
		offer_value(pending, typed);
	else if (*typed == '-')
		offer_options(&c, typed);
	else
		offer_operand(&c, name, given, n, typed);
	return VP_EXIT_OK;
}

int vp_complete(const struct vp_cmd *table, int nwords, char **words)
{
	const struct vp_cmd *cmd, *sub;
	char name[48];

	if (nwords < 1)
		return vp_cmd_fail("complete", VP_EXIT_USAGE,
				   "which word? the last one is missing");
	if (nwords > 1 && !strcmp(words[0], "help")) {
		nwords--;
		words++;
	}
	if (nwords == 1) {
		offer_table(table, words[0]);
		return VP_EXIT_OK;
	}
	cmd = vp_cmd_find(table, words[0]);
	if (!cmd || !cmd->subs)
		return cmd ? complete(cmd, cmd->name, nwords - 1, words + 1) : VP_EXIT_OK;
	if (nwords == 2) {
		offer_table(cmd->subs, words[1]);
		return VP_EXIT_OK;
	}
	sub = vp_cmd_find(cmd->subs, words[1]);
	snprintf(name, sizeof(name), "%s %s", cmd->name, words[1]);
	return sub ? complete(sub, name, nwords - 2, words + 2) : VP_EXIT_OK;
}
