/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel it is, where it is, and what it set up at boot. */
#include "linux/internal.h"

#include "base/digest.h"
#include "base/text.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BANNER_START "Linux version "
#define NOTES_MAX    0x10000u

/* With PTI the page tables for user space follow the kernel's (arch/x86/mm/pti.c). */
#define PTI_USER_PGD 0x1000ull

bool vp_linux_find(const struct vp_linux *l, const char *name, vp_gva *out)
{
	return !vp_symtab_find(l->symbols, name, out, NULL);
}

int vp_linux_variable(const struct vp_linux *l, const char *name, void *buf, size_t len,
		      struct vp_err *err)
{
	struct vp_err why = { "" };
	vp_gva at;
	int rc;

	if (!vp_linux_find(l, name, &at))
		return vp_err_set(err, -ENOENT, "the kernel's symbols do not tell where %s is",
				  name);
	rc = vp_kernel_mem_read(&l->mem, at, buf, len, &why);
	if (!rc)
		return 0;
	return vp_err_set(err, rc == -ENOENT ? -EIO : rc, "the kernel's %s cannot be read: %s",
			  name, why.text);
}

/* --- banner and build-id ----------------------------------------------------- */

/* Where the text "Linux version 6..." stands in @b, or the blob's length. */
static uint64_t find_banner(const struct vp_linux *l, const struct vp_blob *b)
{
	const char *start = BANNER_START;
	uint64_t off = 0;
	vp_gva at;

	if (vp_linux_find(l, "linux_banner", &at) && at.v - b->base < b->len)
		off = at.v - b->base;
	for (; off < b->len; off++) {
		const uint8_t *hit =
			memmem(b->data + off, b->len - (size_t)off, start, strlen(start));
		const uint8_t *digit;

		if (!hit)
			return b->len;
		off = (uint64_t)(hit - b->data);
		digit = vp_blob_at(b, off + strlen(start), 1);
		if (digit && *digit >= '1' && *digit <= '9')
			break;
	}
	return off;
}

/* Find NT_GNU_BUILD_ID among the ELF notes of @b (gabi, "Note Section"). */
static bool find_build_id(const struct vp_blob *b, uint64_t *at, uint32_t *len)
{
	uint32_t name_size, size, type;

	for (uint64_t off = 0; vp_blob_u32(b, off, &name_size) && vp_blob_u32(b, off + 4, &size) &&
			       vp_blob_u32(b, off + 8, &type);) {
		uint64_t name = off + sizeof(Elf64_Nhdr), desc = name + (name_size + 3ull) / 4 * 4;
		const uint8_t *text = vp_blob_at(b, name, name_size);

		if (!text || !vp_blob_at(b, desc, size))
			break;
		if (type == NT_GNU_BUILD_ID && name_size == 4 && !memcmp(text, "GNU", 4) &&
		    size >= 8 && size <= VP_BUILD_ID_MAX) {
			*at = desc;
			*len = size;
			return true;
		}
		off = desc + (size + 3ull) / 4 * 4;
	}
	return false;
}

/*
 * The kernel's own notes are between two symbols; the vDSO images nearby have notes, too, so a
 * search without the symbols would not do.
 */
static int take_build_id(struct vp_linux *l, struct vp_err *err)
{
	vp_gva start, stop;
	struct vp_blob b;
	uint64_t at;
	uint8_t *p;
	int rc;

	l->id.build_id_len = 0;
	if (!vp_linux_find(l, "__start_notes", &start) ||
	    !vp_linux_find(l, "__stop_notes", &stop) || stop.v <= start.v ||
	    stop.v - start.v > NOTES_MAX)
		return 0;
	b = (struct vp_blob){ .len = stop.v - start.v, .base = start.v };
	b.data = p = malloc(b.len);
	rc = p ? vp_kernel_mem_read(&l->mem, start, p, b.len, err)
	       : vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc && find_build_id(&b, &at, &l->id.build_id_len))
		memcpy(l->id.build_id, p + at, l->id.build_id_len);
	free(p);
	return rc;
}

int vp_linux_find_id(struct vp_linux *l, const struct vp_blob *rodata, struct vp_err *err)
{
	uint64_t off = find_banner(l, rodata);

	if (off == rodata->len)
		return vp_err_set(err, -ENOENT,
				  "the kernel has no banner \"" BANNER_START "...\": not a Linux "
				  "that is known here");
	l->id.banner = rodata->base + off - l->mem.text.v;
	return take_build_id(l, err);
}

/* --- texts ------------------------------------------------------------------- */

/* Copy guest text up to a line end, made printable. */
static void take_line(char *to, size_t size, const char *from, size_t n)
{
	size_t len = 0;

	for (; len < n && len < size - 1 && from[len] && from[len] != '\n'; len++)
		to[len] = from[len];
	to[len] = '\0';
	vp_text_clean(to);
}

static int read_banner(struct vp_linux *l, struct vp_err *err)
{
	char raw[sizeof(l->banner)] = "";
	const char *release = raw + strlen(BANNER_START);
	uint64_t at = l->mem.text.v + l->id.banner, n = l->mem.end - at;
	int rc;

	if (n > sizeof(raw))
		n = sizeof(raw);
	rc = vp_kernel_mem_read(&l->mem, VP_GVA(at), raw, n, err);
	if (rc)
		return rc;
	if (strncmp(raw, BANNER_START, strlen(BANNER_START)))
		return vp_err_set(err, -ENOENT, "the kernel's banner is gone from 0x%llx",
				  (unsigned long long)at);
	take_line(l->banner, sizeof(l->banner), raw, sizeof(raw));
	take_line(l->release, sizeof(l->release), release, strcspn(release, " "));
	return 0;
}

static void print_build_id(struct vp_linux *l)
{
	for (uint32_t i = 0; i < l->id.build_id_len; i++)
		snprintf(l->build_id + 2u * i, 3, "%02x", l->id.build_id[i]);
}

/* --- places ------------------------------------------------------------------ */

/*
 * The kernel tells kdump where it is (Documentation/admin-guide/kdump/vmcoreinfo.rst). Without that
 * it was linked where all distributions link it.
 */
static int find_slide(const struct vp_linux *l, uint64_t *slide, struct vp_err *err)
{
	static const char key[] = "\nKERNELOFFSET=";
	char text[4096 + 1];
	uint64_t at, size = 0;
	const char *found;
	int rc = vp_linux_variable(l, "vmcoreinfo_data", &at, sizeof(at), err);

	*slide = l->mem.text.v - VP_KERNEL_LINKED;
	if (!rc)
		rc = vp_linux_variable(l, "vmcoreinfo_size", &size, sizeof(size), err);
	if (rc || size >= sizeof(text))
		return rc == -ENOENT ? 0 : rc;
	rc = vp_kernel_mem_read(&l->mem, VP_GVA(at), text, size, err);
	if (rc) /* not mapped: not there so far, or a lie */
		return rc == -EFAULT ? 0 : rc;
	text[size] = '\0';
	found = strstr(text, key);
	if (found)
		*slide = strtoull(found + sizeof(key) - 1, NULL, 16);
	return 0;
}

static int find_places(struct vp_linux *l, struct vp_err *err)
{
	struct vp_linux_kernel *i = &l->info;
	uint64_t phys_base;
	int rc;

	i->text = l->mem.text;
	i->end = VP_GVA(l->mem.end);
	i->text_phys = l->mem.text_phys;
	i->paging_levels = l->mem.levels;
	/* phys_to_virt() of the image: phys = virt - __START_KERNEL_map + phys_base */
	i->phys_base = i->text_phys.v - (i->text.v - VP_KERNEL_MAP);
	phys_base = i->phys_base;
	rc = vp_linux_variable(l, "phys_base", &phys_base, sizeof(phys_base), err);
	if (rc && rc != -ENOENT)
		return rc;
	if (phys_base != i->phys_base)
		return vp_err_set(
			err, -EBADMSG,
			"the kernel says its phys_base is 0x%llx, but its page tables say "
			"0x%llx: the guest's memory makes no sense",
			(unsigned long long)phys_base, (unsigned long long)i->phys_base);
	rc = find_slide(l, &i->kaslr_slide, err);
	if (rc)
		return rc;
	if (i->kaslr_slide > i->text.v - VP_KERNEL_MAP)
		return vp_err_set(
			err, -EBADMSG,
			"the kernel says it was moved by 0x%llx, but it is at 0x%llx: the "
			"guest's memory makes no sense",
			(unsigned long long)i->kaslr_slide, (unsigned long long)i->text.v);
	return 0;
}

/*
 * The tables of a process go away with it; those of the kernel (swapper_pg_dir, whose symbol is
 * init_top_pgt) stay. Taken if they map the image as the vCPU's did.
 */
static int prefer_kernel_tables(struct vp_linux *l, struct vp_err *err)
{
	vp_gpa cr3, first, last;
	vp_gva at;
	int rc;

	if (!vp_linux_find(l, "init_top_pgt", &at) ||
	    at.v - l->mem.text.v >= l->mem.end - l->mem.text.v || at.v % 0x1000)
		return 0;
	cr3 = VP_GPA(at.v - l->mem.text.v + l->mem.text_phys.v);
	rc = vp_kernel_mem_walk(&l->mem, cr3.v, l->mem.text, &first, err);
	if (!rc)
		rc = vp_kernel_mem_walk(&l->mem, cr3.v, VP_GVA(l->mem.end - 1), &last, err);
	if (rc)
		return rc == -EFAULT ? 0 : rc;
	if (first.v == l->mem.text_phys.v && last.v - first.v == l->mem.end - 1 - l->mem.text.v)
		l->mem.space.cr3 = cr3.v;
	return 0;
}

/*
 * With PTI on, the tables for user space stand beside the kernel's and map the entry code where the
 * kernel has it. Without, what stands there is no page table that does.
 */
static int has_pti(const struct vp_linux *l, bool *out, struct vp_err *err)
{
	vp_gpa kernel = { 0 }, user = { 0 };
	vp_gva entry;
	int rc;

	*out = false;
	if (l->mem.space.cr3 & PTI_USER_PGD || !vp_linux_find(l, "__entry_text_start", &entry))
		return 0;
	rc = vp_kernel_mem_walk(&l->mem, l->mem.space.cr3, entry, &kernel, err);
	if (!rc)
		rc = vp_kernel_mem_walk(&l->mem, l->mem.space.cr3 | PTI_USER_PGD, entry, &user,
					err);
	*out = !rc && kernel.v == user.v;
	return rc == -EFAULT ? 0 : rc;
}

/* What KASLR chose at boot: the image's places, and those of the kernel's memory areas. */
static int boot_digest(const struct vp_linux *l, uint64_t *out, struct vp_err *err)
{
	static const char *const bases[] = { "page_offset_base", "vmalloc_base", "vmemmap_base" };
	uint64_t digest = vp_digest(VP_DIGEST_INIT, &l->mem.text, sizeof(l->mem.text));

	digest = vp_digest(digest, &l->mem.text_phys, sizeof(l->mem.text_phys));
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		uint64_t base = 0;

		int rc = vp_linux_variable(l, bases[i], &base, sizeof(base), err);

		if (rc && rc != -ENOENT)
			return rc;
		if (!rc)
			digest = vp_digest(digest, &base, sizeof(base));
	}
	*out = digest;
	return 0;
}

/*
 * A kernel that was booted since leaves the pages of the old one as they were for a while, page
 * tables and all, so they prove nothing: what counts is where the vCPUs have their image now.
 */
bool vp_linux_still_runs(struct vp_linux *l)
{
	struct vp_target *t = l->mem.t;
	struct vp_kernel_mem now = { 0 };
	uint64_t boot = 0;
	int rc = t->ops->lock(t, NULL);

	if (rc)
		return false;
	rc = vp_kernel_mem_find(t, &now, NULL);
	t->ops->unlock(t);
	return !rc && now.text.v == l->mem.text.v && now.text_phys.v == l->mem.text_phys.v &&
	       !boot_digest(l, &boot, NULL) && boot == l->info.boot;
}

int vp_linux_identify(struct vp_linux *l, struct vp_err *err)
{
	int rc = read_banner(l, err);

	if (!rc)
		rc = find_places(l, err);
	if (rc)
		return rc;
	print_build_id(l);
	l->info.release = l->release;
	l->info.banner = l->banner;
	l->info.build_id = l->build_id;
	if (l->file) /* it has no page tables, and was never booted */
		return 0;
	rc = prefer_kernel_tables(l, err);
	if (rc)
		return rc;
	l->info.space = l->mem.space;
	rc = has_pti(l, &l->info.pti, err);
	return rc ? rc : boot_digest(l, &l->info.boot, err);
}
