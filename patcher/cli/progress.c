/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "target/wait.h"

#define LONG_MS	 1000 /* what takes longer is worth a line */
#define EVERY_MS 200
#define WIDTH	 79

/* What is begun and not ended; one may be a part of another. */
static struct work {
	char what[256];
	int64_t begin_ms; /* 0: unused */
} works[4];

static bool shown;
static int64_t shown_ms;

void vp_progress_wipe(void)
{
	if (shown)
		fprintf(stderr, "\r%*s\r", WIDTH, "");
	shown = false;
}

/* The one of that name; a new one takes an unused place, or the last. */
static struct work *find(const char *what, int64_t now)
{
	const size_t n = sizeof(works) / sizeof(works[0]);
	struct work *unused = &works[n - 1];

	for (size_t i = n; i-- > 0;) {
		if (works[i].begin_ms && !strcmp(works[i].what, what))
			return &works[i];
		if (!works[i].begin_ms)
			unused = &works[i];
	}
	snprintf(unused->what, sizeof(unused->what), "%s", what);
	unused->begin_ms = now;
	return unused;
}

/* "reading symbols: 40 %, 3 s left" */
static void show(const struct work *w, uint64_t done, uint64_t total, int64_t spent_ms)
{
	char text[WIDTH + 1], rest[64] = "";

	if (done && total)
		snprintf(rest, sizeof(rest), ": %" PRIu64 " %%, %.0f s left", done * 100 / total,
			 (double)spent_ms * (double)(total - done) / (double)done / 1e3);
	snprintf(text, sizeof(text), "%.*s%s", WIDTH - (int)strlen(rest), w->what, rest);
	vp_text_clean(text);
	fprintf(stderr, "\r%-*s", WIDTH, text);
	shown = true;
}

void vp_progress_show(const char *what, uint64_t done, uint64_t total)
{
	int64_t now = vp_now_ms();
	struct work *w = find(what, now);

	if (total && done >= total) {
		vp_progress_wipe();
		w->begin_ms = 0;
	} else if (now - w->begin_ms >= LONG_MS && now - shown_ms >= EVERY_MS &&
		   isatty(STDERR_FILENO)) {
		shown_ms = now;
		show(w, done, total, now - w->begin_ms);
	}
}
