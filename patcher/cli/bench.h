/* SPDX-License-Identifier: Apache-2.0 */
/* `vmpoke bench` without a VM: our own VMM, the guest of guest/bench.h, all ways to patch it in
 * turn. */
#ifndef VP_CLI_BENCH_H
#define VP_CLI_BENCH_H

#include "cli/bench_doc.h"
#include "guest/bench.h"
#include "vmm/vm.h"

/* --- bench_guest.c: the ways, and a guest for each that needs one ------------------ */

/* A way to patch. */
struct vp_bench_way {
	const char *name; /* NULL: the end of the table */
	enum vp_strategy strategy;
	enum vp_serializer serializer; /* what the target must have; AUTO: any will do */
};

extern const struct vp_bench_way vp_bench_ways[];
#define VP_BENCH_WAYS_MAX 5

struct vp_bench_guest {
	struct vp_vm *vm;
	struct vp_local *local;
	struct vp_engine *engine;
	volatile const struct tb_vcpu *vcpus;
	struct tb_shared *shared;
	vp_gva code;
	struct vp_paging space; /* its page tables */
	unsigned int nvcpus;
	double tsc_per_us;
	uint8_t jmp[TB_SITES]; /* 1: a jmp stands there, not the nop */
};

struct vp_bench_config {
	const char *env, *what; /* of the figures: a name, and what it is */
	const char *command;
	const char *kvm_path; /* NULL: /dev/kvm */
	const char *against;  /* another vmpoke, for what both can do; NULL: none */
	const char *only;     /* one part of it; NULL: all */
	unsigned int runs;
	unsigned int vcpus;	/* where something else than them varies */
	unsigned int max_vcpus; /* where they do */
	bool made_up_traps;	/* #BP exits are not KVM's own here: they say nothing */
};

/* One for each way, or NULL where it cannot be had; ways may share one. All are held but one. */
struct vp_bench_guests {
	struct vp_bench_guest *of[VP_BENCH_WAYS_MAX];
	unsigned int nvcpus;
	char why[VP_BENCH_WAYS_MAX][300]; /* why it cannot */
};

/* -errno: there is none at all. */
int vp_bench_guests_boot(const struct vp_bench_config *cfg, unsigned int vcpus,
			 struct vp_bench_guests *out, struct vp_err *err);
void vp_bench_guests_free(struct vp_bench_guests *all);

/* Let this one run and nobody else, one of TB_SITES sites or so many, and nothing extra. */
int vp_bench_guest_run(struct vp_bench_guests *all, struct vp_bench_guest *g, unsigned int sites,
		       struct vp_err *err);

/* Blocks that all its vCPUs have run. */
uint64_t vp_bench_rounds(const struct vp_bench_guest *g);

/* Wait until each vCPU has run since: who was held or had no core is in the guest again. */
int vp_bench_all_run(struct vp_bench_guest *g, struct vp_err *err);

/* Begin the longest gap of each vCPU anew: all of them have done so then. / It, in us. */
int vp_bench_gaps_reset(struct vp_bench_guest *g, struct vp_err *err);
double vp_bench_gap(const struct vp_bench_guest *g, unsigned int vcpu);

/* Is it alive? -ESRCH: no, and why. */
int vp_bench_guest_alive(const struct vp_bench_guest *g, struct vp_err *err);

/* One batch: each of @n sites from @first on becomes the other thing it can be. @us, if not NULL:
 * how long it took. @phase as in vp_poke_opts. */
struct vp_bench_batch {
	unsigned int first, n;
	enum vp_resume resume;
	void (*phase)(void *arg, enum vp_phase phase);
	void *arg;
};
int vp_bench_poke(struct vp_bench_guest *g, const struct vp_bench_way *way,
		  const struct vp_bench_batch *batch, double *us, struct vp_err *err);

/* Put each site back to what it was at first, and look whether all bytes are that. -EIO: not. */
int vp_bench_guest_restore(struct vp_bench_guest *g, struct vp_err *err);

/* --- bench_run.c, bench_exits.c, bench_demo.c: what is measured ------------------------ */

/* The figures go into @doc, in an environment of their own. */
int vp_bench_run(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err);

/* Parts of it, by name, for `only`. Ends with NULL. */
extern const char *const vp_bench_parts[];

int vp_bench_exits(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err);
int vp_bench_demo(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err);

double vp_bench_now_us(void);
void vp_bench_nap_us(double us);

/* --- bench_table.c, bench_html.c: what is shown ---------------------------------------- */

void vp_bench_print_table(FILE *to, const json_t *doc);
void vp_bench_print_html(FILE *to, const json_t *doc);

#endif /* VP_CLI_BENCH_H */
