/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hotfix's object: the ELF view, its metadata, the linker. Whatever the file is, it is refused
 * with a reason, or linked: the same bytes again for the same bases, every replacement inside the
 * new text, and nothing of it but what lies in its areas.
 */
#include <errno.h>
#include <string.h>

#include "hotfix/digest.h"
#include "hotfix/link.h"
#include "tests/fuzz/fuzz.h"

#define PAGE 4096u

static volatile unsigned int sink;

static void read_all(const void *data, uint64_t n)
{
	const uint8_t *bytes = data;

	while (bytes && n--)
		sink += *bytes++;
}

/* --- the view -------------------------------------------------------------------------- */

/* Code is code wherever it stands, and so is its digest. */
static void check_digest(const uint8_t *code, size_t size)
{
	uint8_t here[VP_SHA256_SIZE], there[VP_SHA256_SIZE];
	int rc = vp_code_digest(code, size, VP_GVA(0xffffffff81000000), here, NULL);

	FUZZ_CHECK(!rc || rc == -EINVAL);
	FUZZ_CHECK(rc == vp_code_digest(code, size, VP_GVA(0xffffffffa0000123), there, NULL));
	FUZZ_CHECK(rc || !memcmp(here, there, sizeof(here)));
}

static void check_view(const struct vp_elf_object *o)
{
	const struct vp_elf_object_symbol *sym;
	const struct vp_elf_section *s;
	size_t n, nsyms, nrelocs;

	s = vp_elf_object_sections(o, &n);
	sym = vp_elf_object_symbols(o, &nsyms);
	for (size_t i = 0; i < n; i++) {
		const struct vp_elf_reloc *r = vp_elf_object_relocs(o, i, &nrelocs);

		read_all(s[i].name, strlen(s[i].name));
		read_all(s[i].data, s[i].size);
		if (s[i].data && (s[i].flags & SHF_EXECINSTR))
			check_digest(s[i].data, s[i].size);
		FUZZ_CHECK(s[i].align && !(s[i].align & (s[i].align - 1)));
		for (size_t j = 0; j < nrelocs; j++)
			FUZZ_CHECK(r[j].symbol < nsyms && r[j].offset < s[i].size);
	}
	for (size_t i = 0; i < nsyms; i++) {
		read_all(sym[i].name, strlen(sym[i].name));
		if (sym[i].section && sym[i].section < SHN_LORESERVE)
			FUZZ_CHECK(sym[i].section < n &&
				   sym[i].value + sym[i].size <= s[sym[i].section].size);
	}
}

/* --- the linker ------------------------------------------------------------------------- */

/* A world in which nearly everything is known: by the name, so that it is the same each time. */
static int symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	unsigned int sum = 0;

	(void)arg;
	FUZZ_CHECK(name->name[0]);
	FUZZ_CHECK((name->which == VMPOKE_WHICH_CODE) == (name->expected != NULL));
	FUZZ_CHECK((name->which == VMPOKE_WHICH_USED) == (name->use != NULL));
	if (name->use)
		FUZZ_CHECK(name->use->function.name[0] && !name->use->function.use);
	for (const char *c = name->name; *c; c++)
		sum = sum * 31 + (unsigned char)*c;
	if (sum % 16 == 0)
		return vp_err_set(err, (sum & 16) ? -ENOENT : -EEXIST, "so it is here");
	*at = VP_GVA(0xffffffff81000000 + sum % (1u << 24));
	return 0;
}

static int thunk(void *arg, const char *name, vp_gva *at, struct vp_err *err)
{
	const struct vp_hotfix_name n = { .name = name, .where = "" };

	if (!strcmp(name, "__x86_return_thunk")) {
		*at = VP_GVA(0);
		return 0;
	}
	return symbol(arg, &n, at, err);
}

static int cpu_has(void *arg, unsigned int bit, struct vp_err *err)
{
	(void)arg;
	if (bit > 25 * 32)
		return vp_err_set(err, -ERANGE, "no such feature");
	return bit % 2 ? 1 : 0;
}

static int read_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	(void)arg;
	(void)err;
	*value = 0xffffffff81000000 + (at.v & 0xffff);
	return 0;
}

static const struct vp_hotfix_world world = { NULL, symbol, thunk, cpu_has, read_pointer };

static const vp_gva bases[] = { { 0xffffffffa0000000 },
				{ 0xffffffffa2000000 },
				{ 0xffffffffa4000000 } };

static void check_image(const struct vp_hotfix_link *link, const struct vp_hotfix_image *image)
{
	for (enum vp_hotfix_area i = VP_AREA_TEXT; i < VP_AREA_COUNT; i++) {
		FUZZ_CHECK(image->areas[i].size == vp_hotfix_link_size(link, i));
		FUZZ_CHECK(image->areas[i].size % PAGE == 0 && image->areas[i].size <= 32u << 20);
		read_all(image->areas[i].bytes, image->areas[i].size);
	}
	FUZZ_CHECK(image->nredirects);
	for (size_t i = 0; i < image->nredirects; i++) {
		const struct vp_hotfix_redirect *r = &image->redirects[i];

		FUZZ_CHECK(r->replacement.v - bases[VP_AREA_TEXT].v <
			   image->areas[VP_AREA_TEXT].size);
		FUZZ_CHECK(r->old.v && r->function->old.name[0]);
	}
}

static void check_blockers(int rc, const struct vp_blockers *b, const struct vp_err *err)
{
	FUZZ_CHECK(rc == -ENOEXEC ? b->n && b->list && err->text[0] : !rc && !b->n);
	for (size_t i = 0; i < vp_blockers_kept(b); i++)
		FUZZ_CHECK(b->list[i].text[0]);
}

static void check_link(const struct vp_hotfix_object *hotfix)
{
	struct vp_hotfix_image first = { 0 }, second = { 0 };
	struct vp_hotfix_link *link = NULL;
	struct vp_blockers b = { 0 };
	struct vp_err err = { "" };
	int rc = vp_hotfix_link_open(hotfix, &world, &link, &b, &err);

	check_blockers(rc, &b, &err);
	if (!rc) {
		rc = vp_hotfix_link_at(link, bases, &first, &b, &err);
		check_blockers(rc, &b, &err);
	}
	if (link && !rc) {
		check_image(link, &first);
		FUZZ_CHECK(!vp_hotfix_link_at(link, bases, &second, &b, &err));
		for (int i = 0; i < VP_AREA_COUNT; i++)
			FUZZ_CHECK(!memcmp(first.areas[i].bytes, second.areas[i].bytes,
					   first.areas[i].size));
	}
	vp_hotfix_image_free(&first);
	vp_hotfix_image_free(&second);
	vp_hotfix_link_close(link);
	vp_blockers_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vp_hotfix_object *hotfix = NULL;
	struct vp_elf_object *elf = NULL;
	struct vp_blockers b = { 0 };
	struct vp_err err = { "" };
	int rc = vp_elf_object_open(data, size, "fuzz", &elf, &err);

	FUZZ_CHECK(rc ? rc == -ENOEXEC && err.text[0] && !elf : !!elf);
	if (elf) {
		check_view(elf);
		rc = vp_hotfix_object_open(elf, &hotfix, &b, &err);
		check_blockers(rc, &b, &err);
		FUZZ_CHECK(!rc == !!hotfix);
	}
	if (hotfix)
		check_link(hotfix);
	vp_hotfix_object_close(hotfix);
	vp_elf_object_close(elf);
	vp_blockers_free(&b);
	return 0;
}
