/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: gzip, whose checksum tells damage, of one line of JSON that says what comes, and then
 * the bytes of all regions, one after the other.
 */
#include "control/baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "control/control.h"

#define LINE_MAX_BYTES ((size_t)32 << 20)
#define CHUNK	       ((uint64_t)1 << 24) /* what zlib takes at once */

static const char version[] = "vmpoke-baseline-1";

struct vp_baseline_region *vp_baseline_add(struct vp_baseline *b)
{
	size_t n = b->nregions;
	void *more;

	if (!b->regions || !(n & (n - 1))) {
		more = reallocarray(b->regions, n ? 2 * n : 1, sizeof(*b->regions));
		if (!more)
			return NULL;
		b->regions = more;
	}
	b->regions[n] = (struct vp_baseline_region){ 0 };
	b->nregions++;
	return &b->regions[n];
}

int vp_baseline_add_hole(struct vp_baseline *b, uint64_t addr, uint64_t len)
{
	size_t n = b->nholes;
	void *more;

	if (!b->holes || !(n & (n - 1))) {
		more = reallocarray(b->holes, n ? 2 * n : 1, sizeof(*b->holes));
		if (!more)
			return -ENOMEM;
		b->holes = more;
	}
	b->holes[b->nholes++] = (struct vp_baseline_hole){ addr, len };
	return 0;
}

bool vp_baseline_in_hole(const struct vp_baseline *b, uint64_t addr)
{
	for (size_t i = 0; i < b->nholes; i++)
		if (addr - b->holes[i].addr < b->holes[i].len)
			return true;
	return false;
}

const struct vp_baseline_region *vp_baseline_find(const struct vp_baseline *b,
						  const struct vp_baseline_region *like)
{
	for (size_t i = 0; i < b->nregions; i++) {
		const struct vp_baseline_region *r = &b->regions[i];

		if (r->addr == like->addr && r->len == like->len && r->module == like->module &&
		    !strcmp(r->name, like->name))
			return r;
	}
	return NULL;
}

void vp_baseline_clear(struct vp_baseline *b)
{
	for (size_t i = 0; b->regions && i < b->nregions; i++)
		free(b->regions[i].bytes);
	free(b->regions);
	free(b->holes);
	*b = (struct vp_baseline){ 0 };
}

/* --- reading ----------------------------------------------------------------------------- */

static bool get_number(const json_t *object, const char *key, uint64_t *out)
{
	const char *text = json_string_value(json_object_get(object, key));
	char *end;

	if (!text || strncmp(text, "0x", 2) != 0)
		return false;
	errno = 0;
	*out = strtoull(text, &end, 16);
	return !*end && !errno;
}

static bool get_text(const json_t *object, const char *key, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text || strlen(text) >= size)
		return false;
	memcpy(out, text, strlen(text) + 1);
	return true;
}

static bool take_region(const json_t *json, struct vp_baseline_region *r, uint64_t *total)
{
	r->when = json_integer_value(json_object_get(json, "when"));
	if (!get_text(json, "name", r->name, sizeof(r->name)) ||
	    !get_number(json, "addr", &r->addr) || !get_number(json, "len", &r->len) ||
	    !get_number(json, "module", &r->module) || !r->len || r->len > VP_BASELINE_MAX ||
	    r->addr + r->len < r->addr)
		return false;
	*total += r->len;
	return *total <= VP_BASELINE_MAX;
}

/* 0, -EBADMSG, -ENOMEM. */
static int take_head(const json_t *head, struct vp_baseline *b)
{
	const json_t *regions = json_object_get(head, "regions"), *json;
	const char *is = json_string_value(json_object_get(head, "version"));
	uint64_t total = 0, addr, len;
	size_t i;

	if (!is || strcmp(is, version) != 0 || !get_number(head, "boot", &b->boot) ||
	    !get_text(head, "build-id", b->build_id, sizeof(b->build_id)) ||
	    json_array_size(regions) > VP_BASELINE_REGIONS)
		return -EBADMSG;
	json_array_foreach(regions, i, json)
	{
		struct vp_baseline_region *r = vp_baseline_add(b);

		if (!r)
			return -ENOMEM;
		if (!take_region(json, r, &total))
			return -EBADMSG;
	}
	json_array_foreach(json_object_get(head, "unknown"), i, json)
	{
		if (!get_number(json, "addr", &addr) || !get_number(json, "len", &len))
			return -EBADMSG;
		if (vp_baseline_add_hole(b, addr, len))
			return -ENOMEM;
	}
	return 0;
}

/* The first line, for free(). NULL: it has none, or no memory is left. */
static char *read_line(gzFile gz)
{
	size_t size = 65536, n = 0;
	char *line = malloc(size);

	while (line) {
		char *more;

		if (!gzgets(gz, line + n, (int)(size - n)))
			break;
		n += strlen(line + n);
		if (n && line[n - 1] == '\n')
			return line;
		if (n + 1 < size || size >= LINE_MAX_BYTES)
			break;
		size *= 2;
		more = realloc(line, size);
		if (!more)
			break;
		line = more;
	}
	free(line);
	return NULL;
}

static int read_bytes(gzFile gz, struct vp_baseline_region *r)
{
	r->bytes = malloc(r->len);
	if (!r->bytes)
		return -ENOMEM;
	for (uint64_t at = 0; at < r->len;) {
		uint64_t n = r->len - at < CHUNK ? r->len - at : CHUNK;
		int got = gzread(gz, r->bytes + at, (unsigned int)n);

		if (got <= 0)
			return -EBADMSG;
		at += (uint64_t)got;
	}
	return 0;
}

/* The checksum is looked at when the end is read. */
static int read_end(gzFile gz)
{
	char more;

	return gzread(gz, &more, 1) ? -EBADMSG : 0;
}

int vp_baseline_read(const char *path, struct vp_baseline *out, struct vp_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = 0;
	json_t *head = NULL;
	char *line = NULL;
	gzFile gz;

	*out = (struct vp_baseline){ 0 };
	if (fd < 0)
		return vp_err_set(err, -errno, "%s: %s", path, strerror(errno));
	gz = gzdopen(fd, "rb");
	if (!gz) {
		close(fd);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	line = read_line(gz);
	if (line)
		head = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	rc = head ? take_head(head, out) : -EBADMSG;
	for (size_t i = 0; i < out->nregions && !rc; i++)
		rc = read_bytes(gz, &out->regions[i]);
	if (!rc)
		rc = read_end(gz);
	if (gzclose(gz) != Z_OK && !rc) /* it ends amid a stream */
		rc = -EBADMSG;
	json_decref(head);
	free(line);
	if (rc == -EBADMSG)
		return vp_err_set(err, rc,
				  "%s is damaged: remove it, and what stands then is taken "
				  "for what should",
				  path);
	return rc ? vp_err_set(err, rc, "out of memory") : 0;
}

/* --- writing ------------------------------------------------------------------------------ */

static char *head_text(const struct vp_baseline *b)
{
	json_t *regions = json_array(), *holes = json_array(), *head;
	char *text;

	for (size_t i = 0; i < b->nregions; i++) {
		const struct vp_baseline_region *r = &b->regions[i];

		json_array_append_new(regions, json_pack("{s:s, s:o, s:o, s:o, s:I}", "name",
							 r->name, "addr", vp_json_addr(r->addr),
							 "len", vp_json_addr(r->len), "module",
							 vp_json_addr(r->module), "when",
							 (json_int_t)r->when));
	}
	for (size_t i = 0; i < b->nholes; i++)
		json_array_append_new(holes, json_pack("{s:o, s:o}", "addr",
						       vp_json_addr(b->holes[i].addr), "len",
						       vp_json_addr(b->holes[i].len)));
	head = json_pack("{s:s, s:o, s:s, s:o, s:o}", "version", version, "boot",
			 vp_json_addr(b->boot), "build-id", b->build_id, "regions", regions,
			 "unknown", holes);
	text = head ? json_dumps(head, JSON_COMPACT) : NULL;
	json_decref(head);
	return text;
}

static bool put(gzFile gz, const void *bytes, uint64_t len)
{
	for (uint64_t at = 0; at < len;) {
		uint64_t n = len - at < CHUNK ? len - at : CHUNK;

		if (gzwrite(gz, (const uint8_t *)bytes + at, (unsigned int)n) != (int)n)
			return false;
		at += n;
	}
	return true;
}

static bool write_all(gzFile gz, const struct vp_baseline *b)
{
	char *head = head_text(b);
	bool good = head && put(gz, head, strlen(head)) && put(gz, "\n", 1);

	for (size_t i = 0; i < b->nregions && good; i++)
		good = put(gz, b->regions[i].bytes, b->regions[i].len);
	free(head);
	return good;
}

int vp_baseline_write(const char *path, const struct vp_baseline *b, struct vp_err *err)
{
	char *new_path = NULL;
	int fd = -1, keep, rc = 0;
	gzFile gz;

	if (asprintf(&new_path, "%s.new", path) < 0)
		return vp_err_set(err, -ENOMEM, "out of memory");
	unlink(new_path);
	fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	keep = fd < 0 ? -1 : dup(fd); /* to sync what gzclose() writes */
	gz = keep < 0 ? NULL : gzdopen(fd, "wb1");
	if (!gz) {
		rc = vp_err_set(err, -errno, "%s: %s", new_path, strerror(errno));
		if (fd >= 0)
			close(fd);
		goto out;
	}
	errno = EIO;
	if (!write_all(gz, b))
		rc = vp_err_set(err, -errno, "%s: %s", new_path, strerror(errno));
	if (gzclose(gz) != Z_OK && !rc)
		rc = vp_err_set(err, -EIO, "%s: it cannot be written", new_path);
	if (!rc && (fsync(keep) || rename(new_path, path)))
		rc = vp_err_set(err, -errno, "%s: %s", path, strerror(errno));
out:
	if (keep >= 0)
		close(keep);
	if (rc)
		unlink(new_path);
	free(new_path);
	return rc;
}
