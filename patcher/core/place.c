/* SPDX-License-Identifier: Apache-2.0 */
/* Where the sites of a batch are in guest-physical memory. */
#include <errno.h>

#include "core/internal.h"

#define AT(s) (s)->index, (unsigned long long)(s)->site.addr.v

static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_target *t = arg;

	return t->ops->read(t, gpa, buf, len, err);
}

struct vp_phys_reader vp_target_reader(struct vp_target *t)
{
	return (struct vp_phys_reader){ .read = read_phys, .arg = t };
}

int vp_space_check(const struct vp_vcpu_state *state, struct vp_err *err)
{
	return state->nested
		       ? vp_err_set(err, -EAGAIN,
				    "the vCPU runs a guest of the guest's own just now, so its "
				    "page tables are not the guest's: try again, or name "
				    "another vCPU")
		       : 0;
}

size_t vp_insn_room(vp_gpa gpa)
{
	size_t room = 0x1000 - (gpa.v & 0xfff);

	return room < VP_INSN_MAX ? room : VP_INSN_MAX;
}

struct vp_space vp_space_of(struct vp_target *t, struct vp_batch *b)
{
	return (struct vp_space){
		.target = t,
		.strategy = b->rec.strategy,
		.paging = b->paging,
		.ahead = &b->ahead,
	};
}

int vp_space_read(const struct vp_space *sp, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	return vp_ahead_read(sp->ahead, sp->target, gpa, buf, len, err);
}

static int read_entry(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_space *sp = arg;

	if (!sp->tables)
		return vp_space_read(sp, gpa, buf, len, err);
	if (sp->again)
		vp_ahead_want(sp->ahead, gpa, len, VP_IN_STOP);
	return vp_tables_read(sp->tables, gpa, buf, len, err);
}

/* Sites lie close together, and reading the tables of some targets takes long: keep the last page.
 */
int vp_space_walk(struct vp_space *sp, vp_gva addr, struct vp_map *out, struct vp_err *err)
{
	const struct vp_phys_reader mem = { read_entry, sp };
	uint64_t in_page;
	int rc = 0;

	if (!sp->last.page_size || (addr.v ^ sp->at.v) & ~(sp->last.page_size - 1)) {
		sp->at = addr;
		rc = vp_walk(&sp->paging, &mem, addr, &sp->last, err);
	}
	if (rc) {
		sp->last.page_size = 0;
		return rc;
	}
	in_page = sp->last.page_size - 1;
	*out = sp->last;
	out->gpa = VP_GPA((sp->last.gpa.v & ~in_page) | (addr.v & in_page));
	return 0;
}

int vp_place_text(struct vp_space *sp, const struct vp_slot *s, const char *what, vp_gva addr,
		  vp_gpa *out, struct vp_err *err)
{
	struct vp_err why = { .text = "" };
	unsigned long long at = (unsigned long long)addr.v;
	struct vp_map map;
	int rc = vp_space_walk(sp, addr, &map, &why);

	if (rc)
		return vp_err_set(err, rc, "%s %zu at 0x%llx: %s", what, s->index, at, why.text);
	if (map.nx)
		return vp_err_set(err, -EFAULT, "%s %zu at 0x%llx: the page is not executable",
				  what, s->index, at);
	if (map.user && sp->target->kernel_traps_only && sp->strategy == VP_STRATEGY_INT3)
		return vp_err_set(err, -EOPNOTSUPP,
				  "%s %zu at 0x%llx: user code may run this page, and this host's "
				  "KVM reports int3s of kernel code only; use --strategy stop",
				  what, s->index, at);
	*out = map.gpa;
	return 0;
}

int vp_place_slot(struct vp_space *sp, struct vp_slot *s, struct vp_err *err)
{
	uint64_t room = 0x1000 - (s->site.addr.v & 0xfff);
	int rc = vp_place_text(sp, s, "site", s->site.addr, &s->head, err);

	s->split = s->site.len;
	if (rc || s->site.len <= room)
		return rc;
	s->split = (uint8_t)room;
	return vp_place_text(sp, s, "second page of site", VP_GVA(s->site.addr.v + room), &s->next,
			     err);
}

int vp_place_recheck(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	struct vp_space sp = vp_space_of(e->target, b);

	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot now = b->slots[i];
		int rc = vp_place_slot(&sp, &now, NULL);

		if (!rc && now.head.v == b->slots[i].head.v && now.next.v == b->slots[i].next.v)
			continue;
		res->bad_site = (ptrdiff_t)now.index;
		return vp_err_set(err, -EAGAIN,
				  "site %zu at 0x%llx: the guest has mapped another page there "
				  "meanwhile; nothing written, try again",
				  AT(&now));
	}
	return 0;
}
