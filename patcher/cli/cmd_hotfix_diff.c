/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix diff: what differs between two compilations of a kernel's source. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "build/out.h"
#include "cli/cmd.h"
#include "cli/cmd_hotfix.h"
#include "cli/options.h"
#include "diff/show.h"
#include "diff/why.h"

#define ME "hotfix diff"

static const char help[] =
	"usage: vmpoke hotfix diff OLD.o NEW.o [CODE.o] [--json]\n"
	"\n"
	"Show what differs between two compilations of one source, function by function: what\n"
	"`vmpoke hotfix build --patch` goes by. `build --keep` leaves the objects that it "
	"compared,\n"
	"NAME.before.o and NAME.after.o. Of each function and variable that changed: the first "
	"place\n"
	"where it does, with the instructions there and what they refer to. It does not count "
	"where\n"
	"things lie, how the compiler numbered them, or on which line a WARN stands.\n"
	"\n"
	"Then a line for each function that a hotfix would bring: replaced, or going along with\n"
	"those that are, or left out, and why. CODE.o is NAME.code.o, what its code is taken from\n"
	"(default: NEW.o). Only `build --why` knows which functions are of a header.\n"
	"\n"
	"  --json  print one JSON object\n"
	"\n"
	"Exit code: 0: nothing differs; 1 something does; 2 bad options; 6 memory is missing; 7 "
	"one\n"
	"is missing, or no object of a compiler.\n";

#define OBJECTS 3

struct diff_args {
	const char *paths[OBJECTS];
	size_t n;
	bool json;
};

static int parse(int argc, char **argv, struct diff_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("json", &a->json),
		VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 2, OBJECTS);
	if (code >= 0)
		return code;
	for (a->n = 0; a->n < OBJECTS && optind + (int)a->n < argc; a->n++)
		a->paths[a->n] = argv[optind + (int)a->n];
	return -1;
}

static int read_object(const char *path, struct vp_elf_object **out, struct vp_err *err)
{
	void *image;
	size_t len;
	int rc = vp_out_read(path, VP_ELF_OBJECT_MAX, &image, &len, err);

	if (rc)
		return rc;
	rc = vp_elf_object_open(image, len, path, out, err);
	free(image);
	return rc;
}

static const char *words(const struct vp_shown *s)
{
	static const char *const how[] = { "changed", "new", "gone" };

	return how[s->how];
}

static void print(void *arg, const struct vp_shown *s)
{
	(void)arg;
	printf("%s: %s", s->name, words(s));
	if (s->how != VP_SHOWN_CHANGED) {
		printf("%s\n", s->code ? "" : " (data)");
	} else if (s->difference.what == VP_DIFFERS_TABLE) {
		printf(": what %s says of it\n", s->difference.table);
	} else {
		printf("%s, first at +0x%llx\n", s->code ? "" : " (data)",
		       (unsigned long long)s->difference.at);
		printf("  - %s\n  + %s\n", s->old, s->new);
	}
}

static void collect(void *arg, const struct vp_shown *s)
{
	json_t *one = json_pack("{s:s, s:s, s:s}", "name", s->name, "how", words(s), "kind",
				s->code ? "code" : "data");

	if (s->how == VP_SHOWN_CHANGED && s->difference.what == VP_DIFFERS_TABLE)
		json_object_set_new(one, "table", json_string(s->difference.table));
	else if (s->how == VP_SHOWN_CHANGED)
		json_object_update_new(one, json_pack("{s:I, s:s, s:s}", "at",
						      (json_int_t)s->difference.at, "old", s->old,
						      "new", s->new));
	json_array_append_new(arg, one);
}

static void print_why(void *arg, const struct vp_why *w)
{
	(void)arg;
	printf("%s: %s: %s\n", w->function, w->how, w->why);
}

static void collect_why(void *arg, const struct vp_why *w)
{
	json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:b}", "name", w->function, "how",
					     w->how, "why", w->why, "changed", w->changed));
}

static int show(const struct diff_args *a, const struct vp_keep *k)
{
	json_t *list, *whys, *all;
	size_t n;

	if (!a->json) {
		n = vp_diff_show(&k->change, print, NULL);
		if (!n)
			printf("nothing differs\n");
		vp_why_each(k, print_why, NULL);
		return n ? VP_EXIT_FAILED : VP_EXIT_OK;
	}
	list = json_array();
	whys = json_array();
	n = vp_diff_show(&k->change, collect, list);
	vp_why_each(k, collect_why, whys);
	all = json_pack("{s:o, s:o}", "differs", list, "why", whys);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	return n ? VP_EXIT_FAILED : VP_EXIT_OK;
}

int vp_cmd_hotfix_diff(int argc, char **argv)
{
	struct vp_elf_object *objects[OBJECTS] = { NULL };
	struct vp_unit units[OBJECTS] = { { .elf = NULL } };
	struct vp_source source = { .before = &units[0], .after = &units[1] };
	struct vp_blockers blockers = { 0 }, notes = { 0 };
	struct vp_keep keep = { .source = NULL };
	struct diff_args a = { .n = 0 };
	struct vp_err err = { "" };
	int code = parse(argc, argv, &a), rc = 0;

	if (code >= 0)
		return code;
	for (size_t i = 0; i < a.n && !rc; i++) {
		rc = read_object(a.paths[i], &objects[i], &err);
		if (!rc)
			rc = vp_unit_open(objects[i], &units[i], &err);
	}
	source.path = a.paths[0];
	source.code = &units[a.n - 1];
	if (!rc)
		rc = vp_keep_open(&source, &keep, &blockers, &notes, &err);
	if (rc)
		code = vp_cmd_fail(ME, rc == -ENOMEM ? VP_EXIT_HOST : VP_EXIT_FILE, "%s", err.text);
	else
		code = show(&a, &keep);
	vp_keep_close(&keep);
	vp_blockers_free(&blockers);
	vp_blockers_free(&notes);
	for (size_t i = 0; i < a.n; i++) {
		vp_unit_close(&units[i]);
		vp_elf_object_close(objects[i]);
	}
	return code;
}
