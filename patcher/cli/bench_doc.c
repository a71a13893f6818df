/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_doc.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <vmpoke/version.h>

#include "base/text.h"

#define FORM "vmpoke-bench"

const struct vp_bench_group vp_bench_groups[] = {
	{ "sync", "Every vCPU has serialized, or is stopped and runs again, by vCPUs", "vCPUs",
	  "us", true, false, "one sync, of which a batch takes two or three; one stop and resume" },
	{ "latency", "A batch of one site, by vCPUs", "vCPUs", "us", true, false,
	  "from the call to its return, while every vCPU runs the code" },
	{ "pause", "The longest that a vCPU stood still, by vCPUs", "vCPUs", "us", true, false,
	  "by the guest's own clock, for each vCPU in each round of batches; none: nobody "
	  "patched" },
	{ "sites", "A batch, by its sites", "sites", "us", true, false,
	  "from the call to its return" },
	{ "kept", "Work that the guest still does, by batches a second", "batches/s", "%", true,
	  true, "of what it did just before, while nobody patched" },
	{ "reached", "Batches a second that were reached, of those wanted", "wanted", "%", true,
	  true, "100: as many as were asked for" },
	{ "gap", "The longest that a vCPU stood still, by batches a second", "batches/s", "us",
	  true, false, "by the guest's own clock, for each vCPU; none: nobody patched" },
	{ "exits", "One exit of a vCPU", "", "us", false, false,
	  "the CPU time that it adds to a round of the guest's loop, on one vCPU" },
	{ "demo-median", "Batches of the demo: the median, by vCPUs", "vCPUs", "us", true, false,
	  "of one run of `vmpoke demo` each" },
	{ "demo-p99", "Batches of the demo: the 99th percentile, by vCPUs", "vCPUs", "us", true,
	  false, "of one run of `vmpoke demo` each" },
	{ "command-wall", "A command, from its start to its end", "", "ms", false, false,
	  "as a user waits for it" },
	{ "command-pause", "The longest that the VM stood still for a command", "", "ms", false,
	  false, "from QEMU's STOP to its RESUME, or as vmpoke itself tells" },
	{ NULL, NULL, NULL, NULL, false, false, NULL },
};

const struct vp_bench_group *vp_bench_group(const char *id)
{
	const struct vp_bench_group *g = vp_bench_groups;

	while (g->id && strcmp(g->id, id) != 0)
		g++;
	return g->id ? g : NULL;
}

/* --- making one ----------------------------------------------------------------- */

json_t *vp_bench_doc_new(void)
{
	return json_pack("{s:i, s:s, s:[], s:[]}", FORM, 1, "version", vp_version(), "environments",
			 "figures");
}

/* The first line of @path that begins with @key, what stands behind its ": "; or the first line. */
static void line_of(const char *path, const char *key, char *out, size_t size)
{
	FILE *f = fopen(path, "r");
	char line[256];

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		const char *value = key ? strchr(line, ':') : line;

		if (key && (!value || strncmp(line, key, strlen(key)) != 0))
			continue;
		value = key ? value + 1 + strspn(value + 1, " ") : value;
		line[strcspn(line, "\n")] = '\0';
		vp_text_copy(out, size, value);
		break;
	}
	if (f)
		fclose(f);
}

static json_t *machine(void)
{
	struct utsname u = { 0 };
	char cpu[128];

	uname(&u);
	line_of("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
	return json_sprintf("%s, %ld cores, Linux %s", *cpu ? cpu : u.machine,
			    sysconf(_SC_NPROCESSORS_ONLN), u.release);
}

void vp_bench_doc_env(json_t *doc, const char *name, const char *what, const char *command,
		      unsigned int runs)
{
	char load[64];

	line_of("/proc/loadavg", NULL, load, sizeof(load));
	json_array_append_new(json_object_get(doc, "environments"),
			      json_pack("{s:s, s:s, s:o, s:s, s:i, s:s, s:s, s:[]}", "name", name,
					"what", what, "machine", machine(), "command", command,
					"runs", (int)runs, "load", load, "version", vp_version(),
					"notes"));
}

static json_t *newest_env(const json_t *doc)
{
	json_t *envs = json_object_get(doc, "environments");

	return json_array_get(envs, json_array_size(envs) - 1);
}

void vp_bench_doc_note(json_t *doc, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(json_object_get(newest_env(doc), "notes"), json_string(text));
}

/* To thousandths: what a figure is printed from and what is in the file are the same. */
static json_t *rounded(double value)
{
	return json_real(fabs(value) < 1e12 ? round(value * 1000) / 1000 : value);
}

static void put_summary(json_t *figure, const struct vp_summary *s)
{
	json_object_set_new(figure, "n", json_integer((json_int_t)s->n));
	json_object_set_new(figure, "min", rounded(s->min));
	json_object_set_new(figure, "median", rounded(s->median));
	json_object_set_new(figure, "p90", rounded(s->p90));
	json_object_set_new(figure, "p99", rounded(s->p99));
	json_object_set_new(figure, "max", rounded(s->max));
}

void vp_bench_doc_add(json_t *doc, const char *group, const char *way, double x, const char *name,
		      struct vp_samples *samples)
{
	struct vp_summary s;
	json_t *figure;

	if (vp_samples_summary(samples, &s)) {
		figure = json_pack("{s:O, s:s, s:s}", "env",
				   json_object_get(newest_env(doc), "name"), "group", group, "way",
				   way);
		json_object_set_new(figure, name ? "case" : "x",
				    name ? json_string(name) : json_real(x));
		put_summary(figure, &s);
		json_array_append_new(json_object_get(doc, "figures"), figure);
	}
	vp_samples_free(samples);
}

/* --- taking one over ------------------------------------------------------------- */

static bool is_text(const json_t *object, const char *key)
{
	return json_is_string(json_object_get(object, key));
}

static bool env_is_right(const json_t *env)
{
	const json_t *notes = json_object_get(env, "notes"), *note;
	size_t i;

	if (!is_text(env, "name") || !is_text(env, "what") || !is_text(env, "machine") ||
	    !is_text(env, "command") || !is_text(env, "load") ||
	    !json_is_integer(json_object_get(env, "runs")) || !json_is_array(notes))
		return false;
	json_array_foreach(notes, i, note) if (!json_is_string(note)) return false;
	return true;
}

/* Samples become their summary. False: it is no figure. */
static bool summarise(json_t *figure)
{
	const json_t *list = json_object_get(figure, "samples"), *value;
	struct vp_samples samples = { 0 };
	struct vp_summary s;
	bool good = json_is_array(list);
	size_t i;

	json_array_foreach(list, i, value)
	{
		good &= json_is_number(value);
		vp_samples_add(&samples, json_number_value(value));
	}
	good = good && vp_samples_summary(&samples, &s);
	vp_samples_free(&samples);
	if (!good)
		return false;
	put_summary(figure, &s);
	json_object_del(figure, "samples");
	return true;
}

static bool figure_is_right(json_t *figure)
{
	static const char *const numbers[] = { "n", "min", "median", "p90", "p99", "max" };

	if (!is_text(figure, "env") || !is_text(figure, "group") || !is_text(figure, "way") ||
	    !vp_bench_group(json_string_value(json_object_get(figure, "group"))))
		return false;
	if (!is_text(figure, "case") && !json_is_number(json_object_get(figure, "x")))
		return false;
	if (json_object_get(figure, "samples"))
		return summarise(figure);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!json_is_number(json_object_get(figure, numbers[i])))
			return false;
	return true;
}

static bool has_env(const json_t *doc, const char *name)
{
	const json_t *env;
	size_t i;

	json_array_foreach(json_object_get(doc, "environments"), i,
			   env) if (!strcmp(json_string_value(json_object_get(env, "name")),
					    name)) return true;
	return false;
}

/* Two of one name: the later one is NAME-2. */
static void take_env(json_t *doc, json_t *part, json_t *env)
{
	const char *name = json_string_value(json_object_get(env, "name"));
	json_t *as = json_string(name), *figure;
	size_t i;

	for (int n = 2; has_env(doc, json_string_value(as)); n++) {
		json_decref(as);
		as = json_sprintf("%s-%d", name, n);
	}
	json_array_foreach(json_object_get(part, "figures"), i, figure)
	{
		if (strcmp(json_string_value(json_object_get(figure, "env")), name) != 0 ||
		    json_object_get(figure, "taken"))
			continue;
		json_object_set(figure, "env", as);
		json_object_set_new(figure, "taken", json_true());
		json_array_append(json_object_get(doc, "figures"), figure);
	}
	json_object_set_new(env, "name", as);
	json_array_append(json_object_get(doc, "environments"), env);
}

static int take(json_t *doc, json_t *part, const char *what, struct vp_err *err)
{
	json_t *envs = json_object_get(part, "environments");
	json_t *figures = json_object_get(part, "figures"), *one;
	size_t i;

	if (json_integer_value(json_object_get(part, FORM)) != 1 || !json_is_array(envs) ||
	    !json_is_array(figures))
		return vp_err_set(err, -EINVAL, "%s is not what `vmpoke bench --json` writes",
				  what);
	json_array_foreach(envs, i, one) if (!env_is_right(one)) return vp_err_set(
		err, -EINVAL, "%s: environment %zu lacks something that all have", what, i);
	json_array_foreach(figures, i, one) if (!figure_is_right(one)) return vp_err_set(
		err, -EINVAL,
		"%s: figure %zu is none: it needs env, group, way, a place and "
		"samples",
		what, i);
	json_array_foreach(envs, i, one) take_env(doc, part, one);
	json_array_foreach(figures, i, one) if (json_object_del(one, "taken")) return vp_err_set(
		err, -EINVAL, "%s: figure %zu is of an environment that is not there", what, i);
	return 0;
}

static size_t skip_blanks(const char *text, size_t at, size_t len)
{
	while (at < len && text[at] && strchr(" \t\r\n", text[at]))
		at++;
	return at;
}

int vp_bench_doc_load(json_t *doc, const char *text, size_t len, const char *what,
		      struct vp_err *err)
{
	size_t at = skip_blanks(text, 0, len), seen = 0;
	int rc = 0;

	for (; !rc && at < len; seen++) {
		json_error_t why;
		json_t *part = json_loadb(text + at, len - at,
					  JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &why);

		if (!part)
			return vp_err_set(err, -EINVAL, "%s is no JSON, in line %d: %s", what,
					  why.line, why.text);
		at = skip_blanks(text, at + (size_t)why.position, len);
		rc = take(doc, part, what, err);
		json_decref(part);
	}
	if (!rc && !seen)
		return vp_err_set(err, -EINVAL, "%s is empty", what);
	return rc;
}

/* --- looking into one ------------------------------------------------------------ */

double vp_bench_number(const json_t *figure, const char *key)
{
	const json_t *value = json_object_get(figure, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool same(const json_t *figure, const char *key, const char *text)
{
	const char *has = json_string_value(json_object_get(figure, key));

	return has && !strcmp(has, text);
}

const json_t *vp_bench_find(const json_t *doc, const char *env, const char *group, const char *way,
			    double x, const char *name)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(doc, "figures"), i,
			   f) if (same(f, "env", env) && same(f, "group", group) &&
				  same(f, "way", way) &&
				  (name ? same(f, "case", name)
					: fabs(vp_bench_number(f, "x") - x) < 1e-9)) return f;
	return NULL;
}
