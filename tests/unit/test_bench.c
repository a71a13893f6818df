/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's figures: of samples, in and out of JSON, compared, as tables and as a page. */
#include "unit.h"

#include "cli/bench.h"

/* --- samples ----------------------------------------------------------------------------- */

static struct vp_summary summary_of(const double *v, size_t n)
{
	struct vp_samples s = { 0 };
	struct vp_summary out;

	for (size_t i = 0; i < n; i++)
		vp_samples_add(&s, v[i]);
	assert_int_equal(vp_samples_summary(&s, &out), n > 0);
	assert_int_equal(out.n, n);
	vp_samples_free(&s);
	return out;
}

static void test_samples(void **state)
{
	const double few[] = { 3, 1, 2 };
	struct vp_summary s = summary_of(NULL, 0);
	double many[1000];

	(void)state;
	assert_true(s.median == 0 && s.max == 0);
	s = summary_of(few, 1);
	assert_true(s.min == 3 && s.median == 3 && s.p90 == 3 && s.p99 == 3 && s.max == 3);
	s = summary_of(few, 3);
	assert_true(s.min == 1 && s.median == 2 && s.p90 == 3 && s.p99 == 3 && s.max == 3);
	for (size_t i = 0; i < 1000; i++)
		many[i] = (double)((i * 387) % 1000) + 1; /* 1 to 1000, mixed */
	s = summary_of(many, 1000);
	assert_true(s.min == 1 && s.median == 500 && s.p90 == 900 && s.p99 == 990 && s.max == 1000);
}

/* --- documents ---------------------------------------------------------------------------- */

#define ENV(name)                                                                 \
	"{'name': '" name                                                         \
	"', 'what': 'w', 'machine': 'm', 'command': 'c', 'runs': 2, 'load': 'l'," \
	" 'notes': ['n']}"
#define FIGURE(env, group, way, place, samples)                             \
	"{'env': '" env "', 'group': '" group "', 'way': '" way "', " place \
	", 'samples': [" samples "]}"
#define DOC(envs, figures) \
	"{'vmpoke-bench': 1, 'environments': [" envs "], 'figures': [" figures "]}"

/* Single quotes stand for double ones. */
static int load(json_t *doc, const char *text, struct vp_err *err)
{
	char *json = strdup(text);
	int rc;

	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	rc = vp_bench_doc_load(doc, json, strlen(json), "file", err);
	free(json);
	return rc;
}

static json_t *loaded(const char *text)
{
	json_t *doc = vp_bench_doc_new();
	struct vp_err err = { "" };

	if (load(doc, text, &err))
		fail_msg("%s", err.text);
	return doc;
}

static void test_load(void **state)
{
	/* Two documents, one behind the other, each with an environment of that name. */
	json_t *doc =
		loaded(DOC(ENV("a"), FIGURE("a", "latency", "kick", "'x': 4", "3, 1, 2")) " \n" DOC(
			ENV("a") ", " ENV("b"),
			FIGURE("a", "latency", "kick", "'x': 4",
			       "9") ", " FIGURE("b", "exits", "kick", "'case': 'out'", "5")) "\n");
	const json_t *f = vp_bench_find(doc, "a", "latency", "kick", 4, NULL);

	(void)state;
	assert_int_equal(json_array_size(json_object_get(doc, "environments")), 3);
	assert_true(f && vp_bench_number(f, "median") == 2 && vp_bench_number(f, "n") == 3);
	assert_null(json_object_get(f, "samples"));
	f = vp_bench_find(doc, "a-2", "latency", "kick", 4, NULL);
	assert_true(f && vp_bench_number(f, "max") == 9);
	assert_non_null(vp_bench_find(doc, "b", "exits", "kick", 0, "out"));
	assert_null(vp_bench_find(doc, "b", "exits", "kick", 0, "in"));
	assert_null(vp_bench_find(doc, "a", "latency", "kick", 5, NULL));
	assert_null(vp_bench_find(doc, "a", "latency", "stop", 4, NULL));
	json_decref(doc);
}

static void test_load_refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "empty" },
		{ " \n", "empty" },
		{ "nonsense", "no JSON" },
		{ "{}", "not what" },
		{ "[]", "not what" },
		{ "{'vmpoke-bench': 2, 'environments': [], 'figures': []}", "not what" },
		{ DOC("{'name': 'a'}", ""), "environment 0" },
		{ DOC("7", ""), "environment 0" },
		{ DOC(ENV("a"), "7"), "figure 0" },
		{ DOC(ENV("a"), FIGURE("a", "latency", "kick", "'x': 4", "")), "figure 0" },
		{ DOC(ENV("a"), FIGURE("a", "latency", "kick", "'x': 4", "'1'")), "figure 0" },
		{ DOC(ENV("a"), FIGURE("a", "latency", "kick", "'x': '4'", "1")), "figure 0" },
		{ DOC(ENV("a"), FIGURE("a", "nosuch", "kick", "'x': 4", "1")), "figure 0" },
		{ DOC(ENV("a"), "{'env': 'a', 'group': 'latency', 'way': 'kick', 'x': 1}"),
		  "figure 0" },
		{ DOC(ENV("a"), FIGURE("b", "latency", "kick", "'x': 4", "1")), "not there" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *doc = vp_bench_doc_new();
		struct vp_err err = { "" };

		assert_int_equal(load(doc, cases[i].text, &err), -EINVAL);
		if (!strstr(err.text, cases[i].why))
			fail_msg("%s: %s", cases[i].text, err.text);
		json_decref(doc);
	}
}

/* What is measured here comes out again as it went in. */
static void test_made(void **state)
{
	json_t *doc = vp_bench_doc_new(), *again;
	struct vp_samples s = { 0 }, none = { 0 };
	struct vp_err err = { "" };
	char *text;

	(void)state;
	vp_bench_doc_env(doc, "here", "what", "command", 3);
	vp_bench_doc_note(doc, "%s is not there", "it");
	vp_samples_add(&s, 2);
	vp_samples_add(&s, 4);
	vp_bench_doc_add(doc, "latency", "kick", 8, NULL, &s);
	vp_bench_doc_add(doc, "latency", "stop", 8, NULL, &none);
	assert_null(s.v);
	assert_int_equal(json_array_size(json_object_get(doc, "figures")), 1);
	text = json_dumps(doc, 0);
	again = vp_bench_doc_new();
	assert_int_equal(vp_bench_doc_load(again, text, strlen(text), "text", &err), 0);
	assert_true(json_equal(json_object_get(doc, "figures"), json_object_get(again, "figures")));
	assert_true(json_equal(json_object_get(doc, "environments"),
			       json_object_get(again, "environments")));
	free(text);
	json_decref(doc);
	json_decref(again);
}

static void test_ratios(void **state)
{
	json_t *doc = loaded(DOC(
		ENV("a") ", " ENV("b"),
		FIGURE("a", "latency", "kick", "'x': 4", "10") ", " FIGURE("a", "latency", "membarrier", "'x': 4", "2") ", " FIGURE(
			"a", "latency", "membarrier", "'x': 2",
			"1") ", " FIGURE("b", "latency", "membarrier", "'x': 4",
					 "3") ", " FIGURE("a", "exits", "kick", "'case': 'out'",
							  "8") ", " FIGURE("a", "exits", "kick",
									   "'case': '#BP: fixup'",
									   "12") ", " FIGURE("a",
											     "site"
											     "s",
											     "stop",
											     "'x': "
											     "1",
											     "0") ", " FIGURE("a",
													      "sites",
													      "stop",
													      "'x': 1000",
													      "7")));
	json_t *ratios = vp_bench_ratios(doc);

	(void)state;
	/* Of two environments, of another place, over 0: none. */
	assert_int_equal(json_array_size(ratios), 3);
	assert_true(vp_bench_number(json_array_get(ratios, 0), "ratio") == 0.2);
	assert_true(vp_bench_number(json_array_get(ratios, 1), "ratio") == 0.2);
	assert_true(vp_bench_number(json_array_get(ratios, 2), "ratio") == 1.5);
	json_decref(ratios);
	json_decref(doc);
}

/* --- shown -------------------------------------------------------------------------------- */

static char *shown(void (*print)(FILE *to, const json_t *doc), const json_t *doc)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	print(f, doc);
	fclose(f);
	return text;
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

static void test_empty(void **state)
{
	json_t *doc = vp_bench_doc_new();
	char *table = shown(vp_bench_print_table, doc), *html = shown(vp_bench_print_html, doc);

	(void)state;
	assert_string_equal(table, "");
	assert_non_null(strstr(html, "Nothing was measured"));
	assert_non_null(strstr(html, "</html>"));
	assert_null(strstr(html, "<svg"));
	free(table);
	free(html);
	json_decref(doc);
}

/* Whatever is named how: it opens no element, no quote, no escape sequence. */
static void test_hostile(void **state)
{
	static const char evil[] = "<script>alert('1')</script>\" onload=\"x & \x1b[2J";
	json_t *doc = vp_bench_doc_new();
	struct vp_samples a = { 0 }, b = { 0 };
	char *table, *html;

	(void)state;
	vp_bench_doc_env(doc, evil, evil, evil, 1);
	vp_bench_doc_note(doc, "%s", evil);
	vp_samples_add(&a, 1);
	vp_samples_add(&b, 1);
	vp_bench_doc_add(doc, "latency", evil, 1, NULL, &a);
	vp_bench_doc_add(doc, "exits", evil, 0, evil, &b);
	table = shown(vp_bench_print_table, doc);
	html = shown(vp_bench_print_html, doc);
	assert_null(strchr(table, '\x1b'));
	assert_null(strchr(html, '\x1b'));
	assert_null(strstr(html, "<script"));
	assert_null(strstr(html, "\" onload"));
	assert_non_null(strstr(html, "&lt;script&gt;"));
	assert_int_equal(count(html, "<svg"), 2);
	free(table);
	free(html);
	json_decref(doc);
}

/* Values that no scale can take still make a page. */
static void test_extremes(void **state)
{
	json_t *doc = loaded(
		DOC(ENV("a"), FIGURE("a", "latency", "kick", "'x': 0", "0, -1, 1e300") ", " FIGURE(
				      "a", "latency", "kick", "'x': 1e300",
				      "1e-300") ", " FIGURE("a", "kept", "kick", "'x': -1",
							    "-5") ", " FIGURE("a", "exits", "kick",
									      "'case': ''", "0")));
	char *html = shown(vp_bench_print_html, doc);

	(void)state;
	assert_int_equal(count(html, "<svg"), 3);
	assert_null(strstr(html, "nan"));
	assert_null(strstr(html, "inf,"));
	free(html);
	json_decref(doc);
}

static void test_structure(void **state)
{
	static const char *const elements[] = { "svg",	"figure",     "table", "tr",
						"td",	"th",	      "h2",    "h3",
						"p",	"details",    "title", "text",
						"code", "figcaption", "html",  "body" };
	json_t *doc = loaded(
		DOC(ENV("a"),
		    FIGURE("a", "latency", "kick", "'x': 1", "1, 2") ", " FIGURE(
			    "a", "latency", "kick", "'x': 4",
			    "9, 12") ", " FIGURE("a", "latency", "stop", "'x': 1",
						 "3") ", " FIGURE("a", "kept", "stop", "'x': 10",
								  "99") ", " FIGURE("a", "exits",
										    "kick",
										    "'case': 'out'",
										    "1")));
	char *html = shown(vp_bench_print_html, doc), *table = shown(vp_bench_print_table, doc);

	(void)state;
	for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
		char open[32], open_more[32], close[32];

		snprintf(open, sizeof(open), "<%s>", elements[i]);
		snprintf(open_more, sizeof(open_more), "<%s ", elements[i]);
		snprintf(close, sizeof(close), "</%s>", elements[i]);
		if (count(html, open) + count(html, open_more) != count(html, close))
			fail_msg("<%s> does not end", elements[i]);
	}
	assert_int_equal(count(html, "<svg"), 3);
	assert_int_equal(count(html, "<polyline"), 2 * 3); /* kick and stop; stop */
	assert_int_equal(count(html, "<circle"), 4);
	/* Nothing of another place; each plot says where it is from. */
	assert_null(strstr(html, "://"));
	assert_null(strstr(html, "src="));
	assert_int_equal(count(html, "<figcaption>"), 3);
	assert_int_equal(count(html, "Environment: a, on m; 2 runs of <code>c</code>"), 3);
	assert_non_null(strstr(html, "prefers-color-scheme:dark"));
	/* A line a figure, and the note. */
	assert_int_equal(count(table, "kick  "), 3);
	assert_int_equal(count(table, "stop  "), 2);
	assert_int_equal(count(table, "note: n\n"), 1);
	free(html);
	free(table);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),	     cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_refuses), cmocka_unit_test(test_made),
		cmocka_unit_test(test_ratios),	     cmocka_unit_test(test_empty),
		cmocka_unit_test(test_hostile),	     cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_structure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
