/* SPDX-License-Identifier: Apache-2.0 */
/* The demo: boot the test guest, rewrite its sites while it runs, judge it. */
#ifndef VP_CLI_DEMO_H
#define VP_CLI_DEMO_H

#include <jansson.h>

#include "guest/testguest.h"
#include "vmm/vm.h"

struct vp_demo_config {
	const char *kvm_path; /* NULL: /dev/kvm */
	unsigned int vcpus;
	uint64_t pokes; /* batches to apply */
	enum vp_strategy strategy;
	enum vp_serializer serializer;
	bool naive;   /* plain byte stores instead of vp_poke(): the negative control */
	bool hotplug; /* add and remove vCPUs meanwhile */
	bool progress;
	uint64_t seed;
};

/* What the guest counted, over all vCPUs. */
struct vp_demo_counts {
	uint64_t calls, wrong, own_int3, own_int3_seen;
	unsigned int idle_vcpus; /* of those started at boot: that made no call */
};

struct vp_demo_result {
	bool ok;
	char error[1200]; /* why it could not be decided or why it is not ok; "" */
	enum vp_trap_route route;
	const char *serializer;
	uint64_t pokes, sites, reverts, syncs;
	struct vp_demo_counts counts;
	struct vp_poke_stats stats;
	unsigned int changed_sites; /* whose bytes at the end are not those last installed */
	double seconds, median_us, p99_us, max_us;
	uint64_t added, removed; /* vCPUs, by --hotplug */
	struct tg_wrong wrong_first[TG_WRONGS_MAX];
	char wrong_site[TG_WRONGS_MAX][17]; /* their sites' names */
	size_t nwrong_first;
};

/*
 * Run the demo. -errno if it could not begin (no KVM, ...); else 0, and @res says how it went.
 */
int vp_demo_run(const struct vp_demo_config *cfg, struct vp_demo_result *res, struct vp_err *err);

/* The result as JSON (owned by the caller), or as text on stdout. */
json_t *vp_demo_json(const struct vp_demo_config *cfg, const struct vp_demo_result *res);
void vp_demo_print(const struct vp_demo_config *cfg, const struct vp_demo_result *res);

/* --- demo_guest.c: the test guest, seen from the host --- */

struct vp_demo_guest {
	struct vp_vm *vm;
	unsigned int boot_vcpus;
	int console_fd;	       /* a memfd */
	struct tg_site *sites; /* a copy of the guest's table */
	size_t nsites;
	struct tg_vcpu *vcpus;	  /* in guest RAM: VP_GUEST_VCPU_MAX of them */
	struct tg_shared *shared; /* in guest RAM */
};

/* Boot it and wait until every vCPU has made a call. On error nothing is left behind. */
int vp_demo_guest_boot(const struct vp_demo_config *cfg, struct vp_demo_guest *g,
		       struct vp_err *err);
void vp_demo_guest_free(struct vp_demo_guest *g);

/* Let the workers rest, so that the counters are final. -ETIMEDOUT, -ESRCH (the guest has ended).
 */
int vp_demo_guest_quiesce(struct vp_demo_guest *g, struct vp_err *err);

/* 0, or -ESRCH and why the guest has ended. */
int vp_demo_guest_alive(struct vp_demo_guest *g, struct vp_err *err);

/* Let it make @calls more calls. -ETIMEDOUT, -ESRCH. */
int vp_demo_guest_run(struct vp_demo_guest *g, uint64_t calls, struct vp_err *err);

void vp_demo_guest_count(struct vp_demo_guest *g, struct vp_demo_counts *out);

/* Do the bytes of site @i in guest RAM equal version @version? */
bool vp_demo_guest_holds(struct vp_demo_guest *g, size_t i, unsigned int version);

/* Write them as a naive patcher does: one by one in ascending order, by plain stores. */
void vp_demo_guest_scribble(struct vp_demo_guest *g, size_t i, unsigned int version);

#endif /* VP_CLI_DEMO_H */
