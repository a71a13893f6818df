/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench on real cores: `vmpoke bench` with the guest's workers at CPL 3, and between the target
 * and KVM the trap route of tests/cores/kvm.c. See docs/cores.md and docs/performance.md.
 *
 *	bench-cores [--runs N] [--only PART] [--max-vcpus N]
 *
 * Prints the JSON of `vmpoke bench --json`.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench.h"

#define NATIVE 1e6 /* rounds a second; a KVM that emulates makes some ten thousand */

/* Nothing that is measured here means anything if CPL 3 is emulated, too. */
static int check_native(const struct vp_bench_config *cfg, struct vp_err *err)
{
	struct vp_bench_guests all;
	int rc = vp_bench_guests_boot(cfg, 1, &all, err);
	double per_second;

	if (rc)
		return rc;
	rc = vp_bench_guest_run(&all, all.of[0], 1, err);
	if (!rc) {
		uint64_t rounds = vp_bench_rounds(all.of[0]);

		vp_bench_nap_us(200e3);
		per_second = (double)(vp_bench_rounds(all.of[0]) - rounds) * 5;
		if (per_second < NATIVE)
			rc = vp_err_set(
				err, -EOPNOTSUPP,
				"this KVM does not run CPL 3 natively: %.0f rounds a second",
				per_second);
	}
	vp_bench_guests_free(&all);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "runs", required_argument, NULL, 'r' },
		{ "only", required_argument, NULL, 'o' },
		{ "max-vcpus", required_argument, NULL, 'm' },
		{ 0 },
	};
	struct vp_bench_config cfg = {
		.env = "cores",
		.what = "real cores: a guest of our own VMM, its workers at CPL 3",
		.runs = 10,
		.vcpus = 4,
		.max_vcpus = 16,
		.made_up_traps = true,
	};
	char command[128];
	struct vp_err err = { "" };
	json_t *doc = vp_bench_doc_new();
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'r')
			cfg.runs = (unsigned int)strtoul(optarg, NULL, 10);
		else if (opt == 'o')
			cfg.only = optarg;
		else if (opt == 'm')
			cfg.max_vcpus = (unsigned int)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	snprintf(command, sizeof(command), "build/tests/bench-cores --runs %u", cfg.runs);
	cfg.command = command;
	rc = check_native(&cfg, &err);
	if (!rc)
		rc = vp_bench_run(&cfg, doc, &err);
	if (rc)
		fprintf(stderr, "bench-cores: %s\n", err.text);
	else
		json_dumpf(doc, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	json_decref(doc);
	return rc != 0;
}
