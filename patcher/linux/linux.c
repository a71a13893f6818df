/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux guest, opened: find the image by the vCPUs' page tables, its symbols in its read-only
 * data, and by the symbols all the rest. All of it from this guest's memory, each time: what was
 * learned from another one, however alike, could be a lie that was made for this one.
 */
#include "linux/file.h"
#include "linux/internal.h"
#include "linux/kernel_image.h"

#include "elf/image.h"

#include <errno.h>
#include <stdlib.h>

/* Read-only data of a distribution's kernel is 10 MB. */
#define SNAPSHOT_MAX ((uint64_t)256 << 20)
#define RODATA_MIN   0x40000u

static int find_image(struct vp_linux *l, struct vp_target *t, struct vp_err *err)
{
	int rc = t->ops->lock(t, err);

	if (rc)
		return rc;
	rc = vp_kernel_mem_find(t, &l->mem, err);
	t->ops->unlock(t);
	return rc;
}

/* Learn from the kernel's BTF, which most often is in @rodata, where modules have what. */
static int find_layout(struct vp_linux *l, const struct vp_blob *rodata, struct vp_err *err)
{
	struct vp_blob b = vp_blob_from(rodata, 0);
	struct vp_layouts found;
	uint8_t *bytes = NULL;
	vp_gva start, stop;
	int rc = 0;

	if (!vp_linux_find(l, "__start_BTF", &start) || !vp_linux_find(l, "__stop_BTF", &stop) ||
	    stop.v <= start.v || stop.v - start.v > VP_BTF_MAX)
		return 0;
	b.len = (size_t)(stop.v - start.v);
	b.data = vp_blob_at(rodata, start.v - rodata->base, b.len);
	if (!b.data) {
		b.data = bytes = malloc(b.len);
		rc = bytes ? vp_kernel_mem_read(&l->mem, start, bytes, b.len, err)
			   : vp_err_set(err, -ENOMEM, "out of memory");
	}
	if (!rc)
		rc = vp_layouts_find(&b, &found, err);
	if (!rc) {
		l->modules_at = found.modules;
		l->owners_at = found.owners;
		l->execmem = found.execmem;
		l->tasks_at = found.tasks;
		l->cpu_at = found.cpu;
		l->klp_at = found.klp;
	}
	free(bytes);
	return rc == -ENOENT ? 0 : rc;
}

/* Look for symbols and identity in one stretch of the image. */
static int search(struct vp_linux *l, uint64_t start, uint64_t len, struct vp_err *err)
{
	struct vp_blob b = { .len = len, .base = start };
	uint8_t *bytes;
	int rc;

	if (len > SNAPSHOT_MAX)
		return vp_err_set(err, -EBADMSG, "the kernel's image is larger than %llu MB",
				  (unsigned long long)(SNAPSHOT_MAX >> 20));
	b.data = bytes = malloc(len);
	if (!bytes)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_kernel_mem_read(&l->mem, VP_GVA(start), bytes, len, err);
	if (!rc)
		rc = vp_kallsyms_decode(&b, l->mem.text, l->mem.end, &l->ksyms, err);
	if (!rc)
		rc = vp_kallsyms_symtab(&l->ksyms, l->mem.text, &l->symbols, err);
	if (!rc)
		rc = vp_linux_find_id(l, &b, err);
	if (!rc)
		rc = find_layout(l, &b, err);
	free(bytes);
	return rc;
}

static bool is_rodata(const struct vp_kernel_run *r)
{
	return !r->writable && r->nx && r->len >= RODATA_MIN;
}

/* Where the kernel does not protect its read-only data (rodata=off), kallsyms may be anywhere. */
static int search_all(struct vp_linux *l, struct vp_err *err)
{
	const struct vp_kernel_mem *m = &l->mem;
	int rc = -ENOENT;

	for (size_t i = 0; i < m->nruns && rc == -ENOENT && !l->symbols;) {
		uint64_t start = m->runs[i].start, end = start;

		for (; i < m->nruns && m->runs[i].start == end; i++)
			end += m->runs[i].len;
		rc = search(l, start, end - start, err);
	}
	return rc;
}

static int search_image(struct vp_linux *l, struct vp_err *err)
{
	const struct vp_kernel_mem *m = &l->mem;
	bool any = false;
	int rc = -ENOENT;

	for (size_t i = 0; i < m->nruns && rc == -ENOENT && !l->symbols; i++)
		if (is_rodata(&m->runs[i])) {
			rc = search(l, m->runs[i].start, m->runs[i].len, err);
			any = true;
		}
	return any ? rc : search_all(l, err);
}

int vp_linux_open(struct vp_target *t, const struct vp_linux_opts *opts, struct vp_linux **out,
		  struct vp_err *err)
{
	struct vp_linux *l = calloc(1, sizeof(*l));
	struct vp_err why = { "" }; /* of what was tried, too, before it was found elsewhere */
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = find_image(l, t, &why);
	if (!rc)
		rc = search_image(l, &why);
	if (!rc && vp_kernel_mem_keep(&l->mem))
		rc = vp_err_set(&why, -ENOMEM, "out of memory");
	if (!rc)
		rc = vp_linux_identify(l, &why);
	vp_kernel_mem_drop(&l->mem);
	if (!rc && opts && opts->kernel_file)
		rc = vp_kernel_file_check(l, opts->kernel_file, &why);
	if (!rc)
		rc = vp_modules_read(l, &why);
	if (rc) {
		vp_linux_free(l);
		return vp_err_set(err, rc, "%s", why.text);
	}
	*out = l;
	return 0;
}

/* --- a file ------------------------------------------------------------------------ */

/*
 * What may run, and what is read-only, by the symbols that the kernel itself goes by when it sets
 * its rights after boot. The text of start-up, which is freed then, is behind them.
 */
static int set_rights(struct vp_linux *l, struct vp_err *err)
{
	struct vp_kernel_mem *m = &l->mem;
	vp_gva etext, rodata, end;

	if (!vp_linux_find(l, "_etext", &etext) || !vp_linux_find(l, "__start_rodata", &rodata) ||
	    !vp_linux_find(l, "__end_rodata", &end))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the kernel's symbols do not tell where its code ends: they are "
				  "those of its text only");
	if (etext.v <= m->text.v || rodata.v < etext.v || end.v <= rodata.v || end.v >= m->end)
		return vp_err_set(err, -EBADMSG, "the kernel's symbols make no sense");
	m->runs[0] = (struct vp_kernel_run){ m->text.v, etext.v - m->text.v, false, false };
	m->runs[1] = (struct vp_kernel_run){ etext.v, end.v - etext.v, false, true };
	m->runs[2] = (struct vp_kernel_run){ end.v, m->end - end.v, true, true };
	m->nruns = 3;
	return 0;
}

int vp_linux_open_image(const struct vp_blob *file, const char *what, struct vp_linux **out,
			struct vp_err *err)
{
	struct vp_linux *l = calloc(1, sizeof(*l));
	struct vp_elf *elf = NULL;
	struct vp_err why = { "" };
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_kernel_elf_open(file, what, &elf, err);
	if (!rc)
		rc = vp_kernel_image_new(elf, what, &l->file, &l->mem, err);
	vp_elf_close(elf);
	if (rc) {
		vp_linux_free(l);
		return rc;
	}
	rc = search_all(l, &why);
	if (!rc)
		rc = set_rights(l, &why);
	if (!rc)
		rc = vp_linux_identify(l, &why);
	if (rc) {
		vp_linux_free(l);
		return vp_err_set(err, rc, "%.80s: %.170s", what, why.text);
	}
	*out = l;
	return 0;
}

int vp_linux_open_file(const char *path, struct vp_linux **out, struct vp_err *err)
{
	struct vp_blob file;
	int rc = vp_kernel_file_map(path, &file, err);

	if (rc)
		return rc == -ENOMEM ? rc : -ENOEXEC;
	rc = vp_linux_open_image(&file, path, out, err);
	vp_kernel_file_unmap(&file);
	return rc;
}

bool vp_linux_is_file(const struct vp_linux *l)
{
	return l->file;
}

/* ------------------------------------------------------------------------------------ */

void vp_linux_free(struct vp_linux *l)
{
	if (!l)
		return;
	vp_kernel_mem_drop(&l->mem);
	vp_jump_table_free(l->jump_table);
	vp_jump_table_free(l->module_jumps);
	free(l->modules.m);
	vp_symtab_free(l->all);
	vp_symtab_free(l->symbols);
	vp_kallsyms_free(&l->ksyms);
	vp_kernel_image_free(l->file);
	free(l);
}

const struct vp_linux_kernel *vp_linux_info(const struct vp_linux *l)
{
	return &l->info;
}

int vp_linux_read(struct vp_linux *l, vp_gva addr, void *buf, size_t len, struct vp_err *err)
{
	return vp_kernel_mem_read(&l->mem, addr, buf, len, err);
}

int vp_linux_is_code(const struct vp_linux *l, vp_gva addr, bool *code, struct vp_err *err)
{
	return vp_kernel_mem_is_code(&l->mem, addr, code, err);
}
