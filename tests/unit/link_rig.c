/* SPDX-License-Identifier: Apache-2.0 */
#include "link_rig.h"
#include "unit.h"

/* --- the world --------------------------------------------------------------------------- */

uint64_t link_return_thunk;
unsigned int link_features[2]; /* those that the CPU has */

static int symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	(void)arg;
	if (!strcmp(name->name, "helper")) {
		*at = VP_GVA(HELPER);
	} else if (!strcmp(name->name, "pv_ops")) {
		*at = VP_GVA(PV_OPS);
	} else if (!strcmp(name->name, "per_cpu")) {
		*at = VP_GVA(0x1c340);
	} else if (!strncmp(name->name, "old", 3)) {
		*at = VP_GVA(HELPER + 0x1000 + (unsigned char)name->name[3]);
	} else if (!strcmp(name->name, "many")) {
		if (name->which == VMPOKE_WHICH_ONLY)
			return vp_err_set(err, -EEXIST, "3 of that name");
		*at = VP_GVA(HELPER + 0x2000 + name->number);
	} else if (!strcmp(name->name, "broken")) {
		return vp_err_set(err, -EIO, "the guest cannot be read");
	} else {
		return vp_err_set(err, -ENOENT, "none");
	}
	return 0;
}

static int thunk(void *arg, const char *name, vp_gva *at, struct vp_err *err)
{
	(void)arg;
	if (!strcmp(name, "__x86_return_thunk"))
		*at = VP_GVA(link_return_thunk);
	else if (!strcmp(name, "__x86_indirect_thunk_rax"))
		*at = VP_GVA(THUNK + 0x100);
	else
		return vp_err_set(err, -ENOENT, "no such thunk");
	return 0;
}

static int cpu_has(void *arg, unsigned int bit, struct vp_err *err)
{
	(void)arg;
	if (bit > 1000)
		return vp_err_set(err, -ERANGE, "not a feature");
	return bit == link_features[0] || bit == link_features[1];
}

static int read_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	(void)arg;
	if (at.v != PV_OPS + 0x20)
		return vp_err_set(err, -EFAULT, "nothing there");
	*value = PV_TARGET;
	return 0;
}

const struct vp_hotfix_world link_world = { NULL, symbol, thunk, cpu_has, read_pointer };

/* --- an object, linked --------------------------------------------------------------------- */

struct hotfix_build link_h;
uint8_t link_code[256]; /* of .text */
unsigned int link_text, link_func;

/* 64 bytes of nops and the function in them. */
void link_begin(void)
{
	hotfix_begin(&link_h);
	hotfix_good_info(&link_h);
	memset(link_code, 0x90, sizeof(link_code));
	link_text = object_section(&link_h.o, ".text", RX, link_code, 64);
	link_func = object_symbol(&link_h.o, "fixed", STT_FUNC, link_text, 0, 64);
	hotfix_function(&link_h, "old1", link_func, 0);
	link_return_thunk = THUNK;
	link_features[0] = link_features[1] = 999;
}

static const vp_gva bases[] = { { TEXT }, { RODATA }, { DATA } };

struct linked *link_it(void)
{
	static struct linked l;

	l = (struct linked){ 0 };
	hotfix_finish(&link_h);
	if (vp_elf_object_open(link_h.o.bytes, link_h.o.len, "FILE", &l.elf, &l.err) ||
	    vp_hotfix_object_open(l.elf, &l.hotfix, &l.b, &l.err))
		fail_msg("%s", l.err.text);
	l.rc = vp_hotfix_link_open(l.hotfix, &link_world, &l.link, &l.b, &l.err);
	if (!l.rc)
		l.rc = vp_hotfix_link_at(l.link, bases, &l.image, &l.b, &l.err);
	return &l;
}

void link_close(struct linked *l)
{
	vp_hotfix_image_free(&l->image);
	vp_hotfix_link_close(l->link);
	vp_hotfix_object_close(l->hotfix);
	vp_elf_object_close(l->elf);
	vp_blockers_free(&l->b);
}

struct linked *link_good(void)
{
	struct linked *l = link_it();

	if (l->rc)
		fail_msg("%s", l->err.text);
	assert_int_equal(l->b.added, 0);
	return l;
}

void link_refused(const char *why)
{
	struct linked *l = link_it();

	assert_int_equal(l->rc, -ENOEXEC);
	assert_null(l->image.redirects);
	for (size_t i = 0; i < vp_blockers_kept(&l->b); i++)
		if (strstr(l->b.list[i].text, why)) {
			link_close(l);
			return;
		}
	fail_msg("\"%s\" does not say \"%s\"", l->err.text, why);
}

int32_t link_word(const struct linked *l, enum vp_hotfix_area area, size_t at)
{
	int32_t v;

	memcpy(&v, l->image.areas[area].bytes + at, sizeof(v));
	return v;
}

unsigned int link_outside(const char *name)
{
	return object_symbol(&link_h.o, name, STT_NOTYPE, SHN_UNDEF, 0, 0);
}
