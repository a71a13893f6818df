/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "ledger_rig.h"
#include "unit.h"

static void place_of(void *arg, vp_gva addr, struct vp_ledger_place *place)
{
	(void)arg;
	snprintf(place->symbol, sizeof(place->symbol), "symbol_%llx", (unsigned long long)addr.v);
	if (addr.v == IN_MODULE) {
		strcpy(place->module, "kvm");
		place->module_at = 0xffffffffc0123000;
	}
}

int open_ledger(struct ledger_rig *r, struct vp_err *err)
{
	return vp_ledger_open(r->path, 0, &r->ledger, err);
}

void reopen(struct ledger_rig *r)
{
	vp_ledger_close(r->ledger);
	r->ledger = NULL;
	assert_int_equal(open_ledger(r, NULL), 0);
}

int ledger_rig_setup(void **state)
{
	struct ledger_rig *r = calloc(1, sizeof(*r));

	strcpy(r->dir, "/tmp/vmpoke-unit-XXXXXX");
	if (!mkdtemp(r->dir))
		return -1;
	snprintf(r->path, sizeof(r->path), "%s/a/b/vm.jsonl", r->dir);
	*state = r;
	return open_ledger(r, NULL);
}

int ledger_rig_teardown(void **state)
{
	struct ledger_rig *r = *state;
	char path[64];

	vp_ledger_close(r->ledger);
	unlink(r->path);
	snprintf(path, sizeof(path), "%s/a/b", r->dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/a", r->dir);
	rmdir(path);
	rmdir(r->dir);
	free(r);
	return 0;
}

void begin(struct ledger_rig *r, const char *command, uint64_t id, uint64_t boot, uint64_t addr)
{
	const struct vp_site site = { .addr = VP_GVA(addr),
				      .len = 2,
				      .old_bytes = { 0x66, 0x90 },
				      .new_bytes = { 0xeb, 0x10 },
				      .resume = VP_RESUME_FIXUP,
				      .fixup = VP_GVA(0xffff0000) };
	const struct vp_word words[] = {
		{ VP_GVA(0x1000), 0, (uint32_t)-1 },
		{ VP_GVA(0x2000), 7, 7 },
	};
	const struct vp_ledger_begin b = {
		.command = command,
		.id = id,
		.boot = boot,
		.kernel = "6.1",
		.build_id = "abcd",
		.uid = getuid(),
		.pid = getpid(),
		.note = "why",
		.strategy = VP_STRATEGY_STOP,
		.sites = &site,
		.nsites = 1,
		.words = words,
		.nwords = 2,
		.place = place_of,
		.process = r->process,
	};

	assert_int_equal(vp_ledger_begin(r->ledger, &b, NULL), 0);
}

void applied(struct ledger_rig *r, const char *command, uint64_t id, uint64_t addr)
{
	begin(r, command, strcmp(command, "revert") ? 0 : id, BOOT, addr);
	assert_int_equal(vp_ledger_end(r->ledger, "applied", id, NULL, NULL), 0);
}

struct vp_ledger_vm vm_of(const struct ledger_rig *r, uint64_t boot)
{
	return (struct vp_ledger_vm){ .boot = boot, .process = r->process };
}

/* The numbers of the batches with this fate, as the digits of one number. */
uint64_t with_fate(struct ledger_rig *r, uint64_t boot, enum vp_fate fate)
{
	const struct vp_ledger_vm vm = vm_of(r, boot);
	struct vp_ledger_batch *list;
	uint64_t ids = 0;
	size_t n;

	assert_int_equal(vp_ledger_batches(r->ledger, &vm, &list, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		if (list[i].fate == fate)
			ids = ids * 10 + list[i].record.id;
	vp_ledger_batches_free(list, n);
	return ids;
}

/* Of those that stand. */
uint64_t standing(struct ledger_rig *r, uint64_t boot)
{
	return with_fate(r, boot, VP_FATE_APPLIED);
}

/* Those that have no end, and may be half written in the VM. */
size_t unfinished(struct ledger_rig *r, uint64_t boot, struct vp_ledger_batch **list)
{
	const struct vp_ledger_vm vm = vm_of(r, boot);
	size_t n;

	assert_int_equal(vp_ledger_unfinished(r->ledger, &vm, list, &n, NULL), 0);
	return n;
}

size_t count_unfinished(struct ledger_rig *r, uint64_t boot)
{
	struct vp_ledger_batch *list;
	size_t n = unfinished(r, boot, &list);

	vp_ledger_batches_free(list, n);
	return n;
}

void append_text(struct ledger_rig *r, const char *text)
{
	int fd = open(r->path, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

char *file_text(const char *path)
{
	char *text = calloc(1, 1 << 22);
	FILE *f = fopen(path, "r");

	assert_true(text && f);
	assert_true(fread(text, 1, (1 << 22) - 1, f) > 0);
	fclose(f);
	return text;
}
