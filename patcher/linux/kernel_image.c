/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/kernel_image.h"
#include "linux/unpack.h"

#include "elf/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((off_t)2 << 30) /* a vmlinux with debug info has 1 GB */

#define SIZE_2M	  0x200000ull
#define IMAGE_MIN SIZE_2M
#define IMAGE_MAX ((uint64_t)256 << 20)

/* A target that can be read, and nothing else. */
struct vp_kernel_image {
	struct vp_target target; /* first */
	uint8_t *bytes;
	uint64_t phys, len;
};

/* --- the file --------------------------------------------------------------------- */

int vp_kernel_file_map(const char *path, struct vp_blob *out, struct vp_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st)) {
		int rc = -errno;

		if (fd >= 0)
			close(fd);
		return vp_err_set(err, rc, "%s: cannot be opened (errno %d)", path, -rc);
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > FILE_MAX) {
		close(fd);
		return vp_err_set(err, -ENOEXEC, "%s: no file, empty, or too large", path);
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return vp_err_set(err, -ENOMEM, "%s: cannot be mapped", path);
	*out = (struct vp_blob){ p, (size_t)st.st_size, 0 };
	return 0;
}

void vp_kernel_file_unmap(struct vp_blob *file)
{
	munmap((void *)(uintptr_t)file->data, file->len);
	*file = (struct vp_blob){ 0 };
}

static bool is_elf(const struct vp_blob *file)
{
	return file->len >= SELFMAG && !memcmp(file->data, ELFMAG, SELFMAG);
}

bool vp_is_kernel_elf(const struct vp_blob *file)
{
	return is_elf(file) || vp_is_bzimage(file);
}

int vp_kernel_elf_open(const struct vp_blob *file, const char *what, struct vp_elf **out,
		       struct vp_err *err)
{
	uint8_t *bytes = NULL;
	size_t len;
	int rc;

	if (is_elf(file))
		return vp_elf_open(file->data, file->len, what, out, err);
	if (!vp_is_bzimage(file))
		return vp_err_set(err, -ENOEXEC, "%s is neither a vmlinux nor a bzImage", what);
	rc = vp_bzimage_unpack(file, what, &bytes, &len, err);
	if (rc)
		return rc;
	rc = vp_elf_open(bytes, len, what, out, err);
	free(bytes);
	return rc;
}

/* --- its memory --------------------------------------------------------------------- */

static int op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const struct vp_kernel_image *k = (const struct vp_kernel_image *)(void *)t;
	uint64_t off = gpa.v - k->phys;

	if (off > k->len || len > k->len - off)
		return vp_err_set(err, -EFAULT, "not in the kernel's file");
	memcpy(buf, k->bytes + off, len);
	return 0;
}

/* Page tables in no memory: what lies outside the image is not mapped. */
static const struct vp_paging no_tables = {
	.cr0 = 0x80000001, .cr3 = 0x000ffffffffff000, .cr4 = 0x20, .efer = 0x500
};

static const struct vp_target_ops ops = { .name = "file", .read = op_read };

/* Is the segment where the kernel's image runs? Per-CPU data of older kernels are linked at 0. */
static bool is_mapped(const struct vp_elf_segment *s)
{
	return s->vaddr >= VP_KERNEL_MAP && s->vaddr < VP_KERNEL_MAP_END &&
	       s->memsz <= VP_KERNEL_MAP_END - s->vaddr;
}

/* Where the image begins and ends: it is one piece, in memory as in the address space. */
static int find_extent(struct vp_kernel_image *k, const struct vp_elf_segment *segs, size_t n,
		       const char *what, uint64_t *text, struct vp_err *err)
{
	const struct vp_elf_segment *first = NULL;
	uint64_t end = 0, bytes = 0;

	for (size_t i = 0; i < n; i++)
		if (is_mapped(&segs[i]) && (!first || segs[i].vaddr < first->vaddr))
			first = &segs[i];
	if (!first || first->vaddr % SIZE_2M || !(first->flags & PF_X))
		return vp_err_set(err, -ENOEXEC, "%s: no Linux kernel for x86-64", what);
	for (size_t i = 0; i < n; i++) {
		const struct vp_elf_segment *s = &segs[i];

		bytes += s->filesz < IMAGE_MAX ? s->filesz : IMAGE_MAX;
		if (!is_mapped(s))
			continue;
		if (s->paddr - first->paddr != s->vaddr - first->vaddr)
			return vp_err_set(err, -ENOEXEC, "%s: the kernel in it is not one piece",
					  what);
		if (s->vaddr + s->memsz > end)
			end = s->vaddr + s->memsz;
	}
	k->phys = first->paddr;
	k->len = end - first->vaddr;
	*text = first->vaddr;
	if (k->len < IMAGE_MIN || k->len > IMAGE_MAX || k->phys > UINT64_MAX - k->len)
		return vp_err_set(err, -ENOEXEC, "%s: no kernel has %llu bytes", what,
				  (unsigned long long)k->len);
	/* Or many segments of the same bytes could make this long. */
	return bytes <= k->len
		       ? 0
		       : vp_err_set(err, -ENOEXEC, "%s: damaged ELF: segments overlap", what);
}

int vp_kernel_image_new(const struct vp_elf *elf, const char *what, struct vp_kernel_image **out,
			struct vp_kernel_mem *mem, struct vp_err *err)
{
	struct vp_kernel_image *k = calloc(1, sizeof(*k));
	const struct vp_elf_segment *segs;
	uint64_t text = 0;
	size_t n;
	int rc;

	if (!k)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", what);
	segs = vp_elf_segments(elf, &n);
	rc = find_extent(k, segs, n, what, &text, err);
	if (!rc && !(k->bytes = calloc(1, k->len)))
		rc = vp_err_set(err, -ENOMEM, "%s: out of memory", what);
	if (rc) {
		vp_kernel_image_free(k);
		return rc;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t off = segs[i].paddr - k->phys;

		if (segs[i].filesz && off <= k->len && segs[i].filesz <= k->len - off)
			memcpy(k->bytes + off, segs[i].data, segs[i].filesz);
	}
	k->target.ops = &ops;
	*mem = (struct vp_kernel_mem){
		.t = &k->target,
		.space = no_tables,
		.text = VP_GVA(text),
		.text_phys = VP_GPA(k->phys),
		.end = text + k->len,
		.runs = { { text, k->len, false, false } },
		.nruns = 1,
	};
	*out = k;
	return 0;
}

void vp_kernel_image_free(struct vp_kernel_image *k)
{
	if (!k)
		return;
	free(k->bytes);
	free(k);
}
