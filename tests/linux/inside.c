/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is inside functions of a Linux guest, looked up in a stop of the VM, as many times as told.
 *
 *	inside qmp|gdb SOCKET ROUNDS FUNCTION...
 *
 * What the kernel's features are, and whether each function can be redirected, comes first. Then a
 * line for each round and function: nobody, or the text of the refusal; then tasks, reads, bytes,
 *and how many microseconds the preparation and the look in the stop took.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmpoke/linux.h>
#include <vmpoke/qemu.h>

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void fail(const char *what, int rc, const struct vp_err *err)
{
	fprintf(stderr, "inside: %s: %d: %s\n", what, rc, err->text);
	exit(1);
}

/* From its entry to the next symbol; whether it can be redirected is printed. */
static struct vp_linux_range range_of(struct vp_linux *l, const char *name)
{
	struct vp_linux_function f;
	struct vp_err err = { "" };
	int rc = vp_linux_function_find(l, name, 0, NULL, &f, &err);

	printf("%s 0x%llx 0x%llx +%llu %d %s\n", name, (unsigned long long)f.start.v,
	       (unsigned long long)f.len, (unsigned long long)(f.site.v - f.start.v), rc,
	       rc ? err.text : "can be redirected");
	if (!f.len)
		exit(1);
	return (struct vp_linux_range){ f.start, f.len };
}

static void print_features(struct vp_linux *l)
{
	struct vp_linux_features f;
	struct vp_err err = { "" };
	int rc = vp_linux_features_read(l, &f, &err);
	const char *thunk;

	if (rc)
		fail("features", rc, &err);
	thunk = vp_linux_nearest(l, f.return_thunk, NULL);
	printf("features %u of %u, thunk %s, call depth %d, ibt %d, cfi %d:", f.ncaps, f.nwords,
	       thunk ? thunk : "none", f.call_depth, f.ibt, f.cfi);
	for (unsigned int i = 0; i < f.nwords; i++)
		printf(" %08x", f.words[i]);
	printf("\n");
}

static void look(struct vp_target *t, struct vp_linux *l, const struct vp_linux_range *range,
		 const char *name)
{
	struct vp_linux_blocker who = { 0 };
	struct vp_linux_inside *in = NULL;
	struct vp_linux_cost cost;
	struct vp_err err = { "" };
	double t0 = now_us(), t1, t2;
	int rc = vp_linux_inside_new(l, range, 1, &in, &err);

	if (rc)
		fail("prepare", rc, &err);
	rc = t->ops->lock(t, &err);
	if (!rc)
		rc = t->ops->stop(t, VP_TIMEOUT_MS, &err);
	if (rc)
		fail("stop", rc, &err);
	t1 = now_us();
	rc = vp_linux_inside_held(in, &who, &err);
	t2 = now_us();
	t->ops->resume(t);
	t->ops->unlock(t);
	cost = vp_linux_inside_cost(in);
	printf("look %s %d %s; tasks %zu reads %zu bytes %zu prepare %.0f look %.0f\n", name, rc,
	       rc ? err.text : "nobody", cost.tasks, cost.reads, cost.bytes, t1 - t0, t2 - t1);
	vp_linux_inside_free(in);
}

int main(int argc, char **argv)
{
	struct vp_qemu_config cfg = { 0 };
	struct vp_linux_range ranges[64];
	struct vp_linux *l = NULL;
	struct vp_qemu *q = NULL;
	struct vp_err err = { "" };
	size_t n = 0;
	int rc;

	if (argc < 5 || argc > 60 || !getenv("VMPOKE_STATE_DIR")) {
		fprintf(stderr,
			"usage: VMPOKE_STATE_DIR=... inside qmp|gdb SOCKET ROUNDS FUNCTION...\n");
		return 2;
	}
	cfg.state_dir = getenv("VMPOKE_STATE_DIR"); /* the caller's, not vmpoke's own */
	if (!strcmp(argv[1], "qmp"))
		cfg.qmp_path = argv[2];
	else
		cfg.gdb_path = argv[2];
	rc = vp_qemu_open(&cfg, &q, &err);
	if (!rc)
		rc = vp_linux_open(vp_qemu_target(q), NULL, &l, &err);
	if (rc)
		fail("open", rc, &err);
	print_features(l);
	for (int i = 4; i < argc; i++)
		ranges[n++] = range_of(l, argv[i]);
	for (int i = 0; i < atoi(argv[3]); i++)
		for (size_t k = 0; k < n; k++)
			look(vp_qemu_target(q), l, &ranges[k], argv[4 + k]);
	vp_linux_free(l);
	rc = vp_qemu_close(q, &err);
	if (rc)
		fail("close", rc, &err);
	return 0;
}
