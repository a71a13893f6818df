/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel in a file, which may say anything: a good vmlinux is made, then the input changes its
 * header, its symbols and its tables.
 *
 * Judged: nothing is read outside the file (the sanitizers), it ends, a refusal has one line, and a
 * function that can be redirected has the tracer's call or a nop in its own first bytes.
 */
#include "base/text.h"
#include "linux/as_built.h"
#include "linux/file.h"
#include "tests/fuzz/edit.h"
#include "tests/unit/linux_file.h"
#include "tests/unit/linux_tasks.h"

#include <string.h>

#define IN_IMAGE(off) (LF_START + (off))

/* Where changes go, in the file. */
static const struct fuzz_region regions[] = {
	{ 0, sizeof(Elf64_Ehdr) + LF_SEGMENTS * sizeof(Elf64_Phdr) },
	{ IN_IMAGE(LG_FUNC(0)), 16 * LG_FUNCS },
	{ IN_IMAGE(LG_BANNER), 0x300 },
	{ IN_IMAGE(LG_KALLSYMS), 0x8000 },
	{ IN_IMAGE(LG_BTF), 0xa00 },
	{ IN_IMAGE(LG_VARS), 0x900 },
	{ IN_IMAGE(LG_CPU), 0x310 },
	{ IN_IMAGE(LG_MCOUNT), 8 * LG_FUNCS },
	{ IN_IMAGE(LG_ALTS), LG_ALTS_SIZE },
	{ IN_IMAGE(LG_PARAS), 16 },
	{ IN_IMAGE(LG_CONSTS), 4 },
};

#define REGIONS (sizeof(regions) / sizeof(regions[0]))

static struct linux_file *files[LG_LAYOUTS];

static struct linux_file *file(unsigned int kind)
{
	if (!files[kind]) {
		struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = (enum lg_layout)kind });

		files[kind] = lf_new(g);
		lg_free(g);
	}
	return files[kind];
}

static void ask_functions(struct vp_linux *l)
{
	static const char *const names[] = { "filler_16", "filler_17", "filler_18",
					     "filler_20", "filler_24", "key_on" };
	const struct vp_linux_kernel *info = vp_linux_info(l);
	struct vp_linux_function x;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct vp_err err = { "" };
		size_t places = 0;
		int rc = vp_linux_function_find(l, names[i], 0, NULL, &x, &err);

		FUZZ_CHECK(!rc == !err.text[0] && vp_text_is_clean(err.text));
		if (rc)
			continue;
		FUZZ_CHECK(x.start.v >= info->text.v && x.start.v + x.len <= info->end.v);
		FUZZ_CHECK(x.site.v - x.start.v <= 4 && x.len >= 9);
		FUZZ_CHECK(x.old_bytes[0] != 0xe9 && x.old_bytes[0] != 0xcc);
		rc = vp_as_built_rewritten(l, x.start, x.len, &places, &err);
		FUZZ_CHECK(!rc == !err.text[0] && vp_text_is_clean(err.text));
	}
}

static void ask(struct vp_linux *l)
{
	const struct vp_linux_kernel *info = vp_linux_info(l);
	struct vp_linux_features x;
	struct vp_err err = { "" };
	int rc = vp_linux_features_read(l, &x, &err);

	FUZZ_CHECK(!rc == !err.text[0]);
	FUZZ_CHECK(rc || (x.ncaps < x.nwords && x.nwords <= VP_LINUX_CAPS_MAX));
	FUZZ_CHECK(vp_text_is_clean(info->release) && vp_text_is_clean(info->build_id));
	FUZZ_CHECK(info->text.v >> 31 == 0x1ffffffff && info->text.v < info->end.v);
	FUZZ_CHECK(vp_linux_module_count(l) == 0);
	ask_functions(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_edits edits;
	struct fuzz_in in = { data, size };
	struct linux_file *f = file((unsigned int)fuzz_take(&in, 1) % LG_LAYOUTS);
	const struct vp_blob blob = { f->bytes, LF_SIZE, 0 };
	struct vp_linux *l = NULL;
	struct vp_err err = { "" };
	int rc;

	fuzz_change(f->bytes, regions, REGIONS, &in, &edits);
	rc = vp_linux_open_image(&blob, "FILE", &l, &err);

	FUZZ_CHECK(!rc == !!l && !rc == !err.text[0]);
	FUZZ_CHECK(vp_text_is_clean(err.text));
	if (l)
		ask(l);
	vp_linux_free(l);
	fuzz_put_right(f->bytes, &edits);
	return 0;
}
