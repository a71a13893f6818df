/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF view, the symbol table and the loader of the VMM, on the same hostile file. What is
 * loaded is compared with what the view shows, and found again by a walk of the boot page tables.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "elf/image.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/internal.h"
#include "x86/walk.h"
#include <vmpoke/symbol.h>

#define RAM (4ull << 20)

/* --- symbols ----------------------------------------------------------------- */

/* Each symbol is found by its name, unless another one of that name is elsewhere. */
static int check_symbol(void *arg, const struct vp_elf_symbol *s)
{
	const struct vp_symtab *tab = arg;
	const char *nearest;
	uint64_t offset;
	vp_gva at;
	int rc;

	FUZZ_CHECK(s->name[0]);
	if ((s->type != STT_FUNC && s->type != STT_OBJECT && s->type != STT_NOTYPE) ||
	    s->section == SHN_UNDEF || s->section >= SHN_LORESERVE)
		return 0;
	rc = vp_symtab_find(tab, s->name, &at, NULL);
	FUZZ_CHECK(rc == -EEXIST || (!rc && at.v == s->value));
	nearest = vp_symtab_nearest(tab, VP_GVA(s->value), &offset);
	FUZZ_CHECK(nearest && offset <= s->value);
	rc = vp_symtab_find(tab, nearest, &at, NULL);
	FUZZ_CHECK(rc == -EEXIST || (!rc && at.v == s->value - offset));
	return 0;
}

static void check_symbols(const uint8_t *data, size_t size, struct vp_elf *elf)
{
	struct vp_err err = { "" };
	struct vp_symtab *tab;
	int rc = vp_symtab_load(data, size, "fuzz", &tab, &err);

	if (rc) {
		FUZZ_CHECK(rc == -ENOEXEC && err.text[0]);
		return;
	}
	FUZZ_CHECK(elf); /* no symbols of what is no ELF file */
	FUZZ_CHECK(!vp_elf_each_symbol(elf, check_symbol, tab, NULL));
	vp_symtab_free(tab);
}

/* --- segments and notes ------------------------------------------------------ */

static volatile unsigned int sink;

/* Every byte that is given out can be read: the sanitizer judges that. */
static void read_all(const void *data, uint64_t n)
{
	const uint8_t *bytes = data;

	while (n--)
		sink += *bytes++;
}

static void check_view(struct vp_elf *elf, size_t size)
{
	const struct vp_elf_segment *s;
	const void *desc;
	size_t n, len;

	s = vp_elf_segments(elf, &n);
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(s[i].memsz && s[i].filesz <= s[i].memsz && s[i].filesz <= size);
		FUZZ_CHECK(s[i].vaddr + (s[i].memsz - 1) >= s[i].vaddr);
		FUZZ_CHECK(s[i].paddr + (s[i].memsz - 1) >= s[i].paddr);
		read_all(s[i].data, s[i].filesz);
	}
	if (!vp_elf_note(elf, VP_NOTE_NAME, VP_NOTE_FLAGS, &desc, &len))
		read_all(desc, len);
}

/* --- the loader -------------------------------------------------------------- */

static int read_ram(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const struct vp_ram *ram = arg;
	const void *at = vp_ram_at(ram, gpa.v, len);

	(void)err;
	if (!at)
		return -EFAULT;
	memcpy(buf, at, len);
	return 0;
}

static void check_mapped(struct vp_boot *b, const struct vp_image_part *p, uint64_t off)
{
	const struct vp_paging paging = {
		.cr0 = 0x80010033, .cr3 = b->tables, .cr4 = 0x620, .efer = 0xd01
	};
	const struct vp_phys_reader reader = { read_ram, &b->ram };
	struct vp_map map;

	FUZZ_CHECK(!vp_walk(&paging, &reader, VP_GVA(p->vaddr + off), &map, NULL));
	FUZZ_CHECK(map.gpa.v == p->paddr + off && map.nx == !p->exec && !map.user);
}

/* What a segment has in RAM: its bytes of the file, then zeroes. It is taken out again. */
static void check_part(struct vp_boot *b, const struct vp_image_part *p,
		       const struct vp_elf_segment *s)
{
	uint8_t *at = vp_ram_at(&b->ram, p->paddr, p->bytes);

	FUZZ_CHECK(at && p->paddr >= VP_GUEST_IMAGE_MIN && p->paddr + p->bytes <= b->tables);
	FUZZ_CHECK(p->vaddr == s->vaddr && p->paddr == s->paddr && p->bytes == s->memsz);
	FUZZ_CHECK(!s->filesz || !memcmp(at, s->data, s->filesz));
	for (uint64_t i = s->filesz; i < s->memsz; i++)
		FUZZ_CHECK(!at[i]);
	for (uint64_t off = 0; off < p->bytes; off += VP_PAGE)
		check_mapped(b, p, off);
	check_mapped(b, p, p->bytes - 1);
	memset(at, 0, p->bytes);
}

static void check_loaded(struct vp_boot *b, const struct vp_image *image, struct vp_elf *elf)
{
	const struct vp_elf_segment *s;
	bool inside = false;
	size_t n;

	s = vp_elf_segments(elf, &n);
	FUZZ_CHECK(n == image->nparts && n);
	for (size_t i = 0; i < n; i++) {
		const struct vp_image_part *p = &image->parts[i];

		check_part(b, p, &s[i]);
		inside |= p->exec && image->entry.v - p->vaddr < p->bytes;
	}
	FUZZ_CHECK(inside);
	/* Nothing else was written: the first byte is zero, and each is like the next. */
	FUZZ_CHECK(!b->ram.base[0] && !memcmp(b->ram.base, b->ram.base + 1, b->tables - 1));
}

static void check_load(const uint8_t *data, size_t size, struct vp_elf *elf)
{
	static uint8_t *ram;
	struct vp_err err = { "" };
	struct vp_image image;
	struct vp_boot boot;
	int rc;

	if (!ram)
		ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FUZZ_CHECK(ram != MAP_FAILED && !madvise(ram, RAM, MADV_DONTNEED)); /* all zero again */
	FUZZ_CHECK(!vp_boot_init(&boot, (struct vp_ram){ ram, RAM }, NULL));
	rc = vp_image_load(data, size, "fuzz", &boot, &image, &err);
	FUZZ_CHECK(rc ? rc == -ENOEXEC && err.text[0] : !!elf);
	if (!rc)
		check_loaded(&boot, &image, elf);
	vp_image_free(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vp_err err = { "" };
	struct vp_elf *elf = NULL;
	int rc = vp_elf_open(data, size, "fuzz", &elf, &err);

	FUZZ_CHECK(rc ? rc == -ENOEXEC && err.text[0] && !elf : !!elf);
	if (elf)
		check_view(elf, size);
	check_symbols(data, size, elf);
	check_load(data, size, elf);
	vp_elf_close(elf);
	return 0;
}
