/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kprobes (kernel/kprobes.c): a hash table of lists. A probe puts an int3 over the first byte of
 * its instruction; an optimised one a jmp over the first five, and so over what comes behind it.
 * Which it is may change at any time, so five bytes are taken as its own. Poking whole instructions
 * no more is needed: one that begins behind those five is not run from the probe's copy.
 */
#include "linux/owner_probe.h"

#include <errno.h>

#define TABLE_LISTS 64u /* KPROBE_TABLE_SIZE */
#define PROBES_MAX  (1u << 16)
#define PROBE_MAX   0x400u /* bytes of struct kprobe, which has 120 */
#define JMP_LEN	    5u

/* Follow one list; the guest runs, and may change it meanwhile. */
static int read_list(struct vp_owners *o, uint64_t node, unsigned int *probes, struct vp_err *err)
{
	const struct vp_owner_layout *y = &o->l->owners_at;
	uint8_t raw[PROBE_MAX];
	int rc = 0;

	while (node && !rc) {
		const struct vp_blob b = { raw, y->probe_size, node - y->probe_hlist };
		uint64_t addr = 0;

		if (!(node >> 63) || ++*probes > PROBES_MAX ||
		    vp_kernel_mem_read(&o->l->mem, VP_GVA(b.base), raw, b.len, NULL) ||
		    !vp_blob_u64(&b, y->probe_hlist, &node) ||
		    !vp_blob_u64(&b, y->probe_addr, &addr))
			return vp_err_set(err, -EAGAIN,
					  "the list of kprobes makes no sense, or changes; try "
					  "again");
		rc = vp_spans_add(&o->probes, addr, JMP_LEN, addr, err);
	}
	return rc;
}

int vp_probes_read(struct vp_owners *o, struct vp_err *err)
{
	uint8_t raw[TABLE_LISTS * 8];
	const struct vp_blob b = { raw, sizeof(raw), 0 };
	unsigned int probes = 0;
	vp_gva table;
	int rc;

	if (!o->l->owners_at.probe_size)
		return 0;
	if (o->l->owners_at.probe_size > PROBE_MAX || !vp_linux_find(o->l, "kprobe_table", &table))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols do not tell where its kprobes are");
	rc = vp_kernel_mem_read(&o->l->mem, table, raw, sizeof(raw), err);
	for (unsigned int i = 0; i < TABLE_LISTS && !rc; i++) {
		uint64_t node = 0;

		vp_blob_u64(&b, i * 8u, &node);
		rc = read_list(o, node, &probes, err);
	}
	return rc;
}

int vp_probes_ask(const struct vp_owners *o, const struct vp_site *s, struct vp_err *err)
{
	const struct vp_span *probe = vp_spans_find(&o->probes, s);
	char name[128];

	if (!probe)
		return 0;
	return vp_err_set(
		err, -EBUSY,
		"the guest has a kprobe at %s, which covers up to %u bytes; have it removed "
		"first (/sys/kernel/debug/kprobes/list)",
		vp_owner_name(o->l, probe->who, name, sizeof(name)), JMP_LEN);
}
