/* SPDX-License-Identifier: Apache-2.0 */
/* Load the guest's ELF file. Every number in it may be a lie. */
#include "vmm/internal.h"
#include "elf/image.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHAT_MAX 80u /* of the image's name: leaves room for the reason in a struct vp_err */

struct loader {
	struct vp_boot *boot;
	const char *what;
	uint8_t *taken; /* one byte for each page of RAM: a segment has it */
	struct vp_err *err;
};

static bool canonical(uint64_t gva)
{
	return gva >> 47 == 0 || gva >> 47 == 0x1ffff;
}

static int segment_check(const struct loader *l, size_t i, const struct vp_elf_segment *s)
{
	uint64_t last = s->vaddr + (s->memsz - 1);

	if ((s->vaddr ^ s->paddr) & (VP_PAGE - 1))
		return vp_err_set(l->err, -ENOEXEC,
				  "%s: segment %zu: p_vaddr 0x%" PRIx64 " and p_paddr 0x%" PRIx64
				  " have different offsets in a page: align them alike",
				  l->what, i, s->vaddr, s->paddr);
	if (s->paddr < VP_GUEST_IMAGE_MIN || s->paddr > l->boot->tables ||
	    s->memsz > l->boot->tables - s->paddr)
		return vp_err_set(l->err, -ENOEXEC,
				  "%s: segment %zu: %" PRIu64 " bytes at physical 0x%" PRIx64
				  " lie outside 0x%x-0x%" PRIx64 ": link it there or give more RAM",
				  l->what, i, s->memsz, s->paddr, VP_GUEST_IMAGE_MIN,
				  l->boot->tables);
	if (!canonical(s->vaddr) || !canonical(last) || s->vaddr >> 63 != last >> 63)
		return vp_err_set(l->err, -ENOEXEC,
				  "%s: segment %zu: virtual 0x%" PRIx64
				  " is not canonical in 48 bits: link it elsewhere",
				  l->what, i, s->vaddr);
	return 0;
}

static int segment_map(struct loader *l, size_t i, const struct vp_elf_segment *s)
{
	uint64_t skew = s->vaddr & (VP_PAGE - 1), off;
	uint64_t gva = s->vaddr - skew, gpa = s->paddr - skew;
	int rc;

	for (off = 0; off < skew + s->memsz; off += VP_PAGE) {
		uint8_t *taken = &l->taken[(gpa + off) / VP_PAGE];

		if (*taken)
			return vp_err_set(l->err, -ENOEXEC,
					  "%s: segment %zu shares the physical page 0x%" PRIx64
					  " with another: align segments to 4 KiB",
					  l->what, i, gpa + off);
		*taken = 1;
		rc = vp_boot_map(l->boot, gva + off, gpa + off, s->flags & PF_W, s->flags & PF_X);
		if (rc == -EEXIST)
			return vp_err_set(
				l->err, -ENOEXEC,
				"%s: segment %zu: virtual page 0x%" PRIx64
				" is mapped already, by another segment or the direct map",
				l->what, i, gva + off);
		if (rc)
			return vp_err_set(l->err, -ENOEXEC,
					  "%s: segment %zu: the boot page tables are full: place "
					  "the segments closer together",
					  l->what, i);
	}
	return 0;
}

static int segment_load(struct loader *l, size_t i, const struct vp_elf_segment *s)
{
	void *to;
	int rc = segment_check(l, i, s);

	if (!rc)
		rc = segment_map(l, i, s);
	if (rc)
		return rc;
	to = vp_ram_at(&l->boot->ram, s->paddr, s->memsz);
	if (!to || s->filesz > s->memsz)
		return vp_err_set(l->err, -ENOEXEC, "%s: segment %zu: bad size", l->what, i);
	if (s->filesz)
		memcpy(to, s->data, s->filesz);
	return 0;
}

static int load_segments(struct vp_elf *elf, struct loader *l, struct vp_image *out)
{
	const struct vp_elf_segment *s;
	size_t i, n;
	int rc;

	s = vp_elf_segments(elf, &n);
	if (!n)
		return vp_err_set(l->err, -ENOEXEC, "%s: there is no PT_LOAD segment to load",
				  l->what);
	l->taken = calloc(l->boot->ram.bytes / VP_PAGE, 1);
	out->parts = calloc(n, sizeof(*out->parts));
	if (!l->taken || !out->parts)
		return vp_err_set(l->err, -ENOMEM, "%s: out of memory", l->what);
	for (i = 0; i < n; i++) {
		rc = segment_load(l, i, &s[i]);
		if (rc)
			return rc;
		out->parts[i] = (struct vp_image_part){ s[i].vaddr, s[i].paddr, s[i].memsz,
							s[i].flags & PF_X };
	}
	out->nparts = n;
	return 0;
}

static int check_entry(const struct vp_image *image, const char *what, struct vp_err *err)
{
	size_t i;

	for (i = 0; i < image->nparts; i++) {
		const struct vp_image_part *p = &image->parts[i];

		if (p->exec && image->entry.v - p->vaddr < p->bytes)
			return 0;
	}
	return vp_err_set(err, -ENOEXEC, "%s: the entry 0x%" PRIx64 " is in no executable segment",
			  what, image->entry.v);
}

static int read_note(struct vp_elf *elf, const char *what, struct vp_image *out, struct vp_err *err)
{
	const void *desc;
	uint32_t flags;
	size_t len;
	int rc = vp_elf_note(elf, VP_NOTE_NAME, VP_NOTE_FLAGS, &desc, &len);

	if (rc == -ENOENT)
		return 0;
	if (rc)
		return vp_err_set(err, -ENOEXEC, "%s: its notes are damaged", what);
	if (len != sizeof(flags))
		return vp_err_set(err, -ENOEXEC,
				  "%s: the %s note has %zu bytes, not 4 (docs/guest-abi.md)", what,
				  VP_NOTE_NAME, len);
	memcpy(&flags, desc, sizeof(flags));
	if (flags & ~(uint32_t)VP_NOTE_IRQCHIP)
		return vp_err_set(err, -ENOEXEC,
				  "%s: the %s note asks for unknown features 0x%x: a newer vmpoke?",
				  what, VP_NOTE_NAME, flags);
	out->irqchip = flags & VP_NOTE_IRQCHIP;
	return 0;
}

int vp_image_load(const void *image, size_t len, const char *what, struct vp_boot *boot,
		  struct vp_image *out, struct vp_err *err)
{
	struct loader l = { .boot = boot, .err = err };
	struct vp_elf *elf = NULL;
	char name[WHAT_MAX];
	int rc;

	*out = (struct vp_image){ 0 };
	snprintf(name, sizeof(name), "%s", what);
	what = l.what = name;
	rc = vp_elf_open(image, len, what, &elf, err);
	if (rc)
		return rc;
	if (vp_elf_type(elf) != ET_EXEC) {
		rc = vp_err_set(err, -ENOEXEC,
				"%s: not of type ET_EXEC: link it with -static -no-pie", what);
		goto out;
	}
	out->entry = vp_elf_entry(elf);
	rc = load_segments(elf, &l, out);
	if (!rc)
		rc = check_entry(out, what, err);
	if (!rc)
		rc = read_note(elf, what, out, err);
out:
	free(l.taken);
	vp_elf_close(elf);
	return rc;
}

void vp_image_free(struct vp_image *image)
{
	free(image->parts);
	*image = (struct vp_image){ 0 };
}
