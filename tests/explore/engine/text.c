/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: page tables, two pages of nops, and in them the sites and the guest's own int3. */
#include <string.h>

#include "world.h"

#define TEXT	  0xffffffff80000000ull
#define TABLES	  0x1000u /* PML4, PDPT, PD, PT: a page each */
#define PAGE_ONE  0x40000u
#define PAGE_TWO  0x60000u /* not a neighbour */
#define PTE_FLAGS 0x63ull  /* present, writable, accessed, dirty */

static uint64_t tables[4][512];

const struct vp_paging guest_paging = {
	.cr0 = 0x80000001, .cr3 = TABLES, .cr4 = 0x20, .efer = 0xd01
};

void text_init(void)
{
	tables[0][511] = (TABLES + 0x1000) | PTE_FLAGS;
	tables[1][510] = (TABLES + 0x2000) | PTE_FLAGS;
	tables[2][0] = (TABLES + 0x3000) | PTE_FLAGS;
	tables[3][0] = PAGE_ONE | PTE_FLAGS;
	tables[3][1] = PAGE_TWO | PTE_FLAGS;
}

vp_gva site_gva(unsigned int site)
{
	if (!site && sc->split)
		return VP_GVA(TEXT + 0x1000 - sc->insn->len / 2);
	return VP_GVA(TEXT + 0x100 * (site + 1));
}

vp_gva fixup_gva(unsigned int variant)
{
	return VP_GVA(TEXT + 0x900 + 0x10 * variant);
}

static vp_gpa gpa_of(uint64_t gva)
{
	uint64_t offset = gva - TEXT;

	return VP_GPA(offset < 0x1000 ? PAGE_ONE + offset : PAGE_TWO + offset - 0x1000);
}

bool text_is_word(vp_gpa gpa)
{
	return gpa.v == gpa_of(WORD_GVA.v).v;
}

bool text_is_lock(vp_gpa gpa)
{
	return gpa.v == gpa_of(LOCK_GVA.v).v;
}

bool text_find(vp_gpa gpa, unsigned int *site, unsigned int *pos)
{
	for (*site = 0; *site < sc->sites; ++*site)
		for (*pos = 0; *pos < sc->insn->len; ++*pos)
			if (gpa_of(site_gva(*site).v + *pos).v == gpa.v)
				return true;
	return false;
}

static bool in_text(uint64_t gpa)
{
	return gpa >> 12 == PAGE_ONE >> 12 || gpa >> 12 == PAGE_TWO >> 12;
}

bool text_read(vp_gpa gpa, void *buf, size_t len)
{
	uint8_t *to = buf;
	unsigned int site, pos;

	if (gpa.v >= TABLES && gpa.v + len <= TABLES + sizeof(tables)) {
		memcpy(buf, (uint8_t *)tables + gpa.v - TABLES, len);
		if (w.unmapped && gpa.v >= TABLES + 0x3000)
			memset(buf, 0, len);
		return true;
	}
	if (text_is_word(gpa) && len == sizeof(uint32_t)) {
		memcpy(buf, &(uint32_t){ w.count }, len);
		return true;
	}
	if (text_is_lock(gpa) && len == sizeof(uint32_t)) {
		memcpy(buf, &(uint32_t){ w.lock }, len);
		return true;
	}
	for (size_t i = 0; i < len; i++) {
		vp_gpa at = VP_GPA(gpa.v + i);

		if (!in_text(at.v))
			return false;
		to[i] = at.v == gpa_of(FOREIGN_GVA.v).v ? VP_INT3 : 0x90;
		if (text_find(at, &site, &pos))
			to[i] = w.text[site][pos];
	}
	return true;
}

/* --- values ------------------------------------------------------------------ */

uint8_t value_id(unsigned int pos, uint8_t value)
{
	for (uint8_t i = 0; i < MAX_VARIANTS; i++)
		if (sc->insn->bytes[i][pos] == value)
			return i;
	return !pos && value == VP_INT3 ? ID_INT3 : ID_OTHER;
}

uint8_t variants_with(unsigned int pos, unsigned int id)
{
	unsigned int bits = 0;

	if (id >= MAX_VARIANTS)
		return 0;
	for (unsigned int i = 0; i < MAX_VARIANTS; i++)
		if (sc->insn->bytes[i][pos] == sc->insn->bytes[id][pos])
			bits |= 1u << i;
	return (uint8_t)bits;
}

int variant_standing(unsigned int site)
{
	for (int i = 0; i < MAX_VARIANTS; i++)
		if (!memcmp(w.text[site], sc->insn->bytes[i], sc->insn->len))
			return i;
	return -1;
}

/* One who is out of the guest and behind will serialize on entry: what it has fetched does not
 * matter. */
static bool remembers(const struct vcpu *v)
{
	return v->mode == GUEST || v->mode == JOINING ||
	       (v->mode != ABSENT && (!v->behind || broken & BREAK_ENTRY));
}

void text_store(unsigned int site, unsigned int pos, uint8_t value)
{
	w.text[site][pos] = value;
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		struct vcpu *v = &w.vcpu[i];

		if (remembers(v))
			v->may[site][pos] |= (uint8_t)(1u << value_id(pos, value));
	}
}
