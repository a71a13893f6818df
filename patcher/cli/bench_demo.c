/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two programs side by side by what both have, old ones, too: `vmpoke demo --json`. So a commit can
 * be measured against an earlier one, in one run.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench.h"
#include "base/tell.h"

#define POKES	   "100"
#define ANSWER_MAX 65536
#define WORDS_MAX  16

/* A column: which program, and with what. */
static const struct column {
	const char *name;
	bool other;
	const char *args[4]; /* besides those below, which every version knows */
} columns[] = {
	{ "this", false, { "--serializer", "kick" } }, /* as those did that had no choice */
	{ "this, auto", false, { NULL } },
	{ "other", true, { NULL } },
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* All that the program prints, in @text. Its exit status, or -errno. */
static int run(const char *path, const char *const *argv, char *text, size_t size)
{
	posix_spawn_file_actions_t actions;
	int fds[2], status = 0, rc;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	rc = -posix_spawn(&pid, path, &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while (!rc && n + 1 < size && (got = read(fds[0], text + n, size - 1 - n)) != 0) {
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			break;
	}
	text[n] = '\0';
	close(fds[0]);
	while (!rc && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return rc ? rc : status;
}

static int demo(const struct vp_bench_config *cfg, const struct column *c, unsigned int vcpus,
		struct vp_samples *median, struct vp_samples *p99, struct vp_err *err)
{
	const char *path = c->other ? cfg->against : "/proc/self/exe";
	char number[16], *text = malloc(ANSWER_MAX);
	const char *argv[WORDS_MAX] = { "vmpoke",  "demo", "--json",  "--strategy", "int3",
					"--pokes", POKES,  "--vcpus", number };
	size_t n = 9;
	double a, b;
	json_t *ret;
	int rc;

	if (!text)
		return vp_err_set(err, -ENOMEM, "out of memory");
	snprintf(number, sizeof(number), "%u", vcpus);
	if (cfg->kvm_path) {
		argv[n++] = "--kvm";
		argv[n++] = cfg->kvm_path;
	}
	for (size_t i = 0; c->args[i]; i++)
		argv[n++] = c->args[i];
	rc = run(path, argv, text, ANSWER_MAX);
	ret = rc ? NULL : json_loads(text, 0, NULL);
	free(text);
	if (rc < 0)
		return vp_err_set(err, rc, "%s: %s", path, strerror(-rc));
	if (json_unpack(ret, "{s:{s:F, s:F}}", "poke_us", "median", &a, "p99", &b)) {
		json_decref(ret);
		return vp_err_set(err, -EPROTO, "%s: its demo with %u vCPUs did not go well", path,
				  vcpus);
	}
	vp_samples_add(median, a);
	vp_samples_add(p99, b);
	json_decref(ret);
	return 0;
}

int vp_bench_demo(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err)
{
	static const unsigned int vcpus[] = { 1, 2, 4 };
	const size_t n = sizeof(vcpus) / sizeof(vcpus[0]);
	uint64_t done = 0;
	int rc = 0;

	vp_bench_doc_note(doc, "demo: this vmpoke beside %s", cfg->against);
	for (size_t v = 0; !rc && v < n && vcpus[v] <= cfg->max_vcpus; v++) {
		struct vp_samples median[COLUMNS] = { 0 }, p99[COLUMNS] = { 0 };

		for (unsigned int r = 0; !rc && r < cfg->runs; r++) {
			for (size_t i = 0; !rc && i < COLUMNS; i++) {
				size_t c = (r + i) % COLUMNS; /* each is first in its turn */

				rc = demo(cfg, &columns[c], vcpus[v], &median[c], &p99[c], err);
			}
			vp_tell_progress("demo", ++done, n * cfg->runs);
		}
		for (size_t c = 0; c < COLUMNS; c++) {
			vp_bench_doc_add(doc, "demo-median", columns[c].name, vcpus[v], NULL,
					 &median[c]);
			vp_bench_doc_add(doc, "demo-p99", columns[c].name, vcpus[v], NULL, &p99[c]);
		}
	}
	return rc;
}
