/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test guest of the demo, seen from the host: its tables and counters are
 * found by the symbols of guest/testguest.h. The guest runs meanwhile, so what it
 * writes is loaded atomically; the site table is copied before it starts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <vmpoke/guest.h>

#include "cli/demo.h"

#define WAIT_SECONDS 30

extern const uint8_t vp_testguest_start[], vp_testguest_end[];

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* The host address of @len bytes at the guest's symbol @name, plus what lies behind it. */
static int find(struct vp_vm *vm, const char *name, size_t len, vp_gva *addr, void **hva,
		struct vp_err *err)
{
	int rc = vp_symtab_find(vp_vm_symbols(vm), name, addr, err);

	if (rc)
		return rc;
	*hva = vp_vm_image_hva(vm, *addr, len);
	return *hva ? 0 : vp_err_set(err, -ENOEXEC, "test guest: %s is not in its image", name);
}

static int copy_sites(struct vp_demo_guest *g, struct vp_err *err)
{
	vp_gva start, end;
	void *table;
	size_t len;
	int rc = vp_symtab_find(vp_vm_symbols(g->vm), "tg_sites_end", &end, err);

	if (!rc)
		rc = find(g->vm, "tg_sites", 1, &start, &table, err);
	if (rc)
		return rc;
	len = end.v - start.v;
	g->nsites = len / sizeof(*g->sites);
	table = vp_vm_image_hva(g->vm, start, len);
	g->sites = malloc(len);
	if (!table || !g->sites)
		return vp_err_set(err, table ? -ENOMEM : -ENOEXEC,
				  "test guest: cannot copy its site table");
	memcpy(g->sites, table, len);
	return 0;
}

static int find_tables(struct vp_demo_guest *g, struct vp_err *err)
{
	vp_gva addr;
	void *vcpus, *shared;
	int rc = copy_sites(g, err);

	if (!rc)
		rc = find(g->vm, "tg_vcpus", VP_GUEST_VCPU_MAX * sizeof(*g->vcpus), &addr, &vcpus,
			  err);
	if (!rc)
		rc = find(g->vm, "tg_shared", sizeof(*g->shared), &addr, &shared, err);
	if (!rc) {
		g->vcpus = vcpus;
		g->shared = shared;
	}
	return rc;
}

/* Wait until @done says so of every vCPU there is. */
static int wait_for(struct vp_demo_guest *g, bool (*done)(const struct tg_vcpu *v),
		    const char *what, struct vp_err *err)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (unsigned int ms = 0; ms < WAIT_SECONDS * 1000; ms++) {
		struct vp_vm_vcpu_info info[VP_VCPU_MAX];
		unsigned int n = vp_vm_vcpus(g->vm, info, VP_VCPU_MAX);
		unsigned int ready = 0;
		int rc = vp_demo_guest_alive(g, err);

		if (rc)
			return rc;
		for (unsigned int i = 0; i < n; i++)
			ready += done(&g->vcpus[info[i].id]);
		if (ready == n)
			return 0;
		nanosleep(&nap, NULL);
	}
	return vp_err_set(err, -ETIMEDOUT, "a vCPU of the guest %s within %u s", what,
			  WAIT_SECONDS);
}

static bool has_called(const struct tg_vcpu *v)
{
	return load(&v->calls) > 0;
}

static bool is_quiet(const struct tg_vcpu *v)
{
	return load(&v->quiet) != 0;
}

int vp_demo_guest_boot(const struct vp_demo_config *cfg, struct vp_demo_guest *g,
		       struct vp_err *err)
{
	struct vp_vm_config vm_cfg = {
		.name = "demo",
		.kvm_path = cfg->kvm_path,
		.image = vp_testguest_start,
		.image_len = (size_t)(vp_testguest_end - vp_testguest_start),
		.image_what = "the test guest",
		.vcpus = cfg->vcpus,
		.serializer = cfg->serializer,
	};
	int rc;

	*g = (struct vp_demo_guest){ .boot_vcpus = cfg->vcpus };
	g->console_fd = memfd_create("vmpoke-console", MFD_CLOEXEC);
	vm_cfg.console_fd = g->console_fd;
	rc = vp_vm_create(&vm_cfg, &g->vm, err);
	if (!rc)
		rc = find_tables(g, err);
	if (!rc)
		rc = vp_vm_start(g->vm, err);
	if (!rc)
		rc = wait_for(g, has_called, "made no call", err);
	if (rc)
		vp_demo_guest_free(g);
	return rc;
}

void vp_demo_guest_free(struct vp_demo_guest *g)
{
	vp_vm_destroy(g->vm);
	if (g->console_fd >= 0)
		close(g->console_fd);
	free(g->sites);
}

int vp_demo_guest_quiesce(struct vp_demo_guest *g, struct vp_err *err)
{
	__atomic_store_n(&g->shared->quiesce, 1, __ATOMIC_RELEASE);
	return wait_for(g, is_quiet, "did not come to rest", err);
}

static uint64_t total_calls(const struct vp_demo_guest *g)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < VP_GUEST_VCPU_MAX; i++)
		sum += load(&g->vcpus[i].calls);
	return sum;
}

int vp_demo_guest_run(struct vp_demo_guest *g, uint64_t calls, struct vp_err *err)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	uint64_t goal = total_calls(g) + calls;

	for (unsigned int i = 0; i < WAIT_SECONDS * 10000; i++) {
		int rc = vp_demo_guest_alive(g, err);

		if (rc || total_calls(g) >= goal)
			return rc;
		nanosleep(&nap, NULL);
	}
	return vp_err_set(err, -ETIMEDOUT, "the guest made no progress within %u s", WAIT_SECONDS);
}

/* The guest's last words: the end of its console, without the newline. */
static void read_console(struct vp_demo_guest *g, char *text, size_t size)
{
	off_t end = lseek(g->console_fd, 0, SEEK_END);
	off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
	ssize_t n = pread(g->console_fd, text, size - 1, from);

	text[n > 0 ? n : 0] = '\0';
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
}

int vp_demo_guest_alive(struct vp_demo_guest *g, struct vp_err *err)
{
	struct vp_vm_status st;
	char words[128];

	if (!vp_vm_wait(g->vm, 0, &st))
		return 0;
	if (st.end != VP_VM_GUEST_EXIT)
		return vp_err_set(err, -ESRCH, "the guest died: %s", st.text);
	read_console(g, words, sizeof(words));
	return vp_err_set(err, -ESRCH, "the guest gave up with code 0x%x: %s", st.code, words);
}

void vp_demo_guest_count(struct vp_demo_guest *g, struct vp_demo_counts *out)
{
	*out = (struct vp_demo_counts){ 0 };
	for (unsigned int i = 0; i < VP_GUEST_VCPU_MAX; i++) {
		uint64_t calls = load(&g->vcpus[i].calls);

		out->calls += calls;
		out->wrong += load(&g->vcpus[i].wrong);
		out->own_int3 += load(&g->vcpus[i].own_int3);
		out->own_int3_seen += load(&g->vcpus[i].own_int3_seen);
		out->idle_vcpus += i < g->boot_vcpus && !calls;
	}
}

/* One byte of a site; a site may lie on pages that are no neighbours. */
static uint8_t *site_byte(struct vp_demo_guest *g, size_t i, unsigned int k)
{
	return vp_vm_image_hva(g->vm, VP_GVA(g->sites[i].addr + k), 1);
}

bool vp_demo_guest_holds(struct vp_demo_guest *g, size_t i, unsigned int version)
{
	for (unsigned int k = 0; k < g->sites[i].len; k++) {
		const uint8_t *byte = site_byte(g, i, k);

		if (!byte || *byte != g->sites[i].version[version].bytes[k])
			return false;
	}
	return true;
}

void vp_demo_guest_scribble(struct vp_demo_guest *g, size_t i, unsigned int version)
{
	for (unsigned int k = 0; k < g->sites[i].len; k++) {
		uint8_t *byte = site_byte(g, i, k);

		if (byte)
			__atomic_store_n(byte, g->sites[i].version[version].bytes[k],
					 __ATOMIC_RELAXED);
	}
}
