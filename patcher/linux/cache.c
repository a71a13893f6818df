/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols already decoded, one file a build-id, without the slide, and the layout of modules: the
 * second VM with the same kernel costs a few small reads. Which file fits is asked of the guest's
 * memory, since where the build-id stands is not known before the symbols are.
 *
 * A file is: struct header, the entries, the names. It is written whole and renamed into place. One
 * that is damaged, of another version, or does not fit the guest is as good as none.
 */
#include "linux/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX	   ".symbols"
#define FILES_MAX  256u
#define TOKENS_MAX 0x21000u

static const char magic[8] = "vpsyms3";

struct header {
	char magic[8];
	uint64_t checksum; /* of all that follows it */
	struct vp_kernel_id id;
	struct vp_kallsyms_place place;
	struct vp_module_layout modules_at;
	struct vp_owner_layout owners_at;
	uint64_t n, names_len;
};

static uint64_t checksum(const struct header *h, const void *entries, const char *names)
{
	size_t skip = offsetof(struct header, id);
	uint64_t sum = vp_digest(VP_DIGEST_INIT, (const char *)h + skip, sizeof(*h) - skip);

	sum = vp_digest(sum, entries, (size_t)h->n * sizeof(struct vp_kallsyms_entry));
	return vp_digest(sum, names, (size_t)h->names_len);
}

/* --- does a file fit the guest? ------------------------------------------------ */

/* Read @len bytes of the image at an offset that a file tells. */
static bool read_image(const struct vp_linux *l, uint64_t off, void *buf, uint64_t len)
{
	uint64_t size = l->mem.end - l->mem.text.v;

	return off < size && len <= size - off &&
	       !vp_kernel_mem_read(&l->mem, VP_GVA(l->mem.text.v + off), buf, (size_t)len, NULL);
}

static bool header_is_sane(const struct header *h)
{
	return !memcmp(h->magic, magic, sizeof(magic)) && h->n > 0 && h->n <= VP_KALLSYMS_MAX &&
	       h->names_len > 0 && h->names_len <= VP_KALLSYMS_NAMES_MAX &&
	       h->id.build_id_len > 0 && h->id.build_id_len <= VP_BUILD_ID_MAX &&
	       h->place.tokens_len > 0 && h->place.tokens_len <= TOKENS_MAX &&
	       h->modules_at.size <= VP_MODULE_MAX;
}

static bool build_id_fits(const struct vp_linux *l, const struct vp_kernel_id *id)
{
	uint8_t there[VP_BUILD_ID_MAX];

	return read_image(l, id->build_id_at, there, id->build_id_len) &&
	       !memcmp(there, id->build_id, id->build_id_len);
}

static bool table_fits(const struct vp_linux *l, const struct vp_kallsyms *k)
{
	uint8_t *tokens = malloc((size_t)k->place.tokens_len);
	uint32_t n;
	bool ok = tokens && read_image(l, k->place.num_syms, &n, sizeof(n)) &&
		  read_image(l, k->place.tokens, tokens, k->place.tokens_len) &&
		  vp_kallsyms_agrees(k, n, tokens);

	free(tokens);
	return ok;
}

/* --- loading ------------------------------------------------------------------- */

/* All that the decoder would have made sure of. */
static bool contents_are_sane(const struct vp_kallsyms *k)
{
	uint64_t before = 0;

	for (size_t i = 0; i < k->n; i++) {
		const struct vp_kallsyms_entry *e = &k->entries[i];

		if (e->addr < before || (e->addr < VP_KERNEL_MAP && e->addr >> 31) ||
		    e->name >= k->names_len || !k->names[e->name])
			return false;
		before = e->addr;
	}
	for (size_t i = 0; i < k->names_len; i++)
		if (k->names[i] && (k->names[i] <= ' ' || k->names[i] > '~'))
			return false;
	return !k->names[k->names_len - 1];
}

static bool read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* The rest of a file, whose header was read and whose size is right. */
static bool load_contents(int fd, const struct header *h, struct vp_kallsyms *k)
{
	*k = (struct vp_kallsyms){
		.place = h->place,
		.n = (size_t)h->n,
		.names_len = (size_t)h->names_len,
		.entries = calloc((size_t)h->n, sizeof(*k->entries)),
		.names = malloc((size_t)h->names_len),
	};
	if (k->entries && k->names && read_all(fd, k->entries, k->n * sizeof(*k->entries)) &&
	    read_all(fd, k->names, k->names_len) &&
	    checksum(h, k->entries, k->names) == h->checksum && contents_are_sane(k))
		return true;
	vp_kallsyms_free(k);
	return false;
}

static bool load_file(struct vp_linux *l, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct vp_kallsyms k = { 0 };
	struct header h;
	struct stat st;
	bool ok;

	if (fd < 0)
		return false;
	ok = !fstat(fd, &st) && S_ISREG(st.st_mode) && read_all(fd, &h, sizeof(h)) &&
	     header_is_sane(&h) &&
	     (uint64_t)st.st_size == sizeof(h) + h.n * sizeof(*k.entries) + h.names_len &&
	     build_id_fits(l, &h.id) && load_contents(fd, &h, &k);
	close(fd);
	if (ok && table_fits(l, &k)) {
		l->ksyms = k;
		l->id = h.id;
		l->modules_at = h.modules_at;
		l->owners_at = h.owners_at;
		return true;
	}
	vp_kallsyms_free(&k);
	return false;
}

static bool is_cache_name(const char *name)
{
	size_t len = strlen(name);

	return len > strlen(SUFFIX) && !strcmp(name + len - strlen(SUFFIX), SUFFIX);
}

bool vp_cache_load(struct vp_linux *l, const char *dir)
{
	unsigned int files = 0;
	bool found = false;
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d)
		return false;
	while (!found && files < FILES_MAX && (e = readdir(d)))
		if (is_cache_name(e->d_name)) {
			files++;
			found = load_file(l, dirfd(d), e->d_name);
		}
	closedir(d);
	return found;
}

/* --- storing ------------------------------------------------------------------- */

static void make_dirs(const char *dir)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return;
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	mkdir(path, 0700);
}

static bool write_file(int fd, const struct header *h, const struct vp_kallsyms *k)
{
	FILE *f = fdopen(fd, "wb");
	bool ok;

	if (!f) {
		close(fd);
		return false;
	}
	ok = fwrite(h, sizeof(*h), 1, f) == 1 &&
	     fwrite(k->entries, sizeof(*k->entries), k->n, f) == k->n &&
	     fwrite(k->names, 1, k->names_len, f) == k->names_len;
	return fclose(f) == 0 && ok;
}

void vp_cache_store(const struct vp_linux *l, const char *dir)
{
	char hex[2 * VP_BUILD_ID_MAX + 1] = "", path[4096], temp[4096];
	struct header h;
	int fd;

	if (!l->id.build_id_len)
		return;
	for (uint32_t i = 0; i < l->id.build_id_len; i++)
		snprintf(hex + 2u * i, 3, "%02x", l->id.build_id[i]);
	if (snprintf(path, sizeof(path), "%s/%s" SUFFIX, dir, hex) >= (int)sizeof(path) ||
	    snprintf(temp, sizeof(temp), "%s/new-XXXXXX", dir) >= (int)sizeof(temp))
		return;
	memset(&h, 0, sizeof(h)); /* padding is written, too */
	memcpy(h.magic, magic, sizeof(magic));
	h.id = l->id;
	h.place = l->ksyms.place;
	h.modules_at = l->modules_at;
	h.owners_at = l->owners_at;
	h.n = l->ksyms.n;
	h.names_len = l->ksyms.names_len;
	h.checksum = checksum(&h, l->ksyms.entries, l->ksyms.names);
	make_dirs(dir);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd >= 0 && (!write_file(fd, &h, &l->ksyms) || rename(temp, path)))
		unlink(temp);
}
