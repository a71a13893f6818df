/* SPDX-License-Identifier: Apache-2.0 */
#include "build/includers.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build/out.h"

#define FILE_MAX  (16u << 20) /* headers of registers are long */
#define FILES_MAX 200000u
#define DEPTH_MAX 24u

struct file {
	char *path;
	bool marked; /* it takes one of them in, or is one */
};

/* A line #include of a file. */
struct edge {
	size_t from;
	char *what; /* as it is written */
	size_t to;  /* the file; SIZE_MAX: none that is found where compilers look first */
};

struct scan {
	const char *source;
	int stop_fd;
	struct file *files; /* by path, after sort_files() */
	size_t n, room;
	struct edge *edges;
	size_t nedges, room_edges;
};

static int no_memory(struct vp_err *err)
{
	return vp_err_set(err, -ENOMEM, "out of memory");
}

/* --- files --------------------------------------------------------------------------------------
 */

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), m = strlen(with);

	return n > m && !strcmp(text + n - m, with);
}

static bool is_skipped(const char *folder)
{
	static const char *const names[] = { "Documentation", "LICENSES", "samples", "rust",
					     "debian",	      "tools",	  "scripts", "usr" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(folder, names[i]))
			return true;
	return !strncmp(folder, "arch/", 5) && strncmp(folder, "arch/x86", 8);
}

static int add_file(struct scan *s, const char *path)
{
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 4096;
		struct file *more = reallocarray(s->files, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->files = more;
		s->room = room;
	}
	s->files[s->n].path = strdup(path);
	s->files[s->n].marked = false;
	return s->files[s->n++].path ? 0 : -ENOMEM;
}

static int scan_folder(struct scan *s, const char *folder, bool below, unsigned int depth)
{
	char path[PATH_MAX], full[2 * PATH_MAX];
	struct pollfd stop = { .fd = s->stop_fd, .events = POLLIN };
	const struct dirent *e;
	int rc = 0;
	DIR *dir;

	snprintf(full, sizeof(full), "%s/%s", s->source, folder);
	dir = depth < DEPTH_MAX ? opendir(full) : NULL;
	while (dir && !rc && s->n < FILES_MAX && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s%s%.255s", folder, *folder ? "/" : "", e->d_name);
		if (e->d_type == DT_DIR && below && !is_skipped(path))
			rc = scan_folder(s, path, true, depth + 1);
		else if (e->d_type == DT_REG && strlen(path) < VP_PATCH_PATH &&
			 (ends(path, ".c") || ends(path, ".h")))
			rc = add_file(s, path);
	}
	if (dir)
		closedir(dir);
	if (!rc && poll(&stop, 1, 0) > 0)
		rc = -ECANCELED;
	return rc;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static size_t find_file(const struct scan *s, const char *path)
{
	char copy[PATH_MAX];
	const struct file key = { .path = copy }, *found;

	snprintf(copy, sizeof(copy), "%s", path);
	found = s->n ? bsearch(&key, s->files, s->n, sizeof(key), by_path) : NULL;
	return found ? (size_t)(found - s->files) : SIZE_MAX;
}

/* --- what they include
 * -----------------------------------------------------------------------------
 */

static int add_edge(struct scan *s, size_t from, const char *what, size_t len)
{
	if (s->nedges == s->room_edges) {
		size_t room = s->room_edges ? 2 * s->room_edges : 65536;
		struct edge *more = reallocarray(s->edges, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->edges = more;
		s->room_edges = room;
	}
	s->edges[s->nedges] = (struct edge){ from, strndup(what, len), SIZE_MAX };
	return s->edges[s->nedges++].what ? 0 : -ENOMEM;
}

/* A line of text that may be `# include "x.h"`. */
static int read_line(struct scan *s, size_t from, const char *line, const char *end)
{
	const char *begin;

	line += strspn(line, " \t");
	if (*line != '#')
		return 0;
	line++;
	line += strspn(line, " \t");
	if (strncmp(line, "include", 7))
		return 0;
	line += 7;
	line += strspn(line, " \t");
	begin = line + 1;
	if ((*line != '"' && *line != '<') || begin >= end)
		return 0;
	line = begin + strcspn(begin, "\">\n");
	return line - begin < 256 ? add_edge(s, from, begin, (size_t)(line - begin)) : 0;
}

static int read_includes(struct scan *s, size_t from)
{
	char path[2 * PATH_MAX], *text, *line, *end;
	void *data;
	size_t len;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/%s", s->source, s->files[from].path);
	if (vp_out_read(path, FILE_MAX, &data, &len, NULL))
		return 0; /* what cannot be read cannot be compiled either */
	text = data;
	text[len] = '\0';
	for (line = text; line && !rc; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		rc = read_line(s, from, line, end ? end : text + len);
	}
	free(text);
	return rc;
}

/* "fs/ext4" and "../internal.h": "fs/internal.h". */
static void join(const char *file, const char *what, char *out, size_t size)
{
	const char *slash = strrchr(file, '/');
	int len = slash ? (int)(slash - file) : 0;

	while (!strncmp(what, "../", 3) || !strncmp(what, "./", 2)) {
		if (what[1] == '.') {
			while (len && file[len - 1] != '/')
				len--;
			len -= len > 0;
		}
		what = strchr(what, '/') + 1;
	}
	snprintf(out, size, "%.*s%s%s", len, file, len ? "/" : "", what);
}

static void resolve(const struct scan *s, struct edge *e)
{
	static const char *const folders[] = { "arch/x86/include", "include",
					       "arch/x86/include/uapi", "include/uapi" };
	char path[PATH_MAX];

	join(s->files[e->from].path, e->what, path, sizeof(path));
	e->to = find_file(s, path);
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders) && e->to == SIZE_MAX; i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], e->what);
		e->to = find_file(s, path);
	}
	/* What this machine has none of its own of: a header that is generated leads there. */
	if (e->to == SIZE_MAX && !strncmp(e->what, "asm/", 4)) {
		snprintf(path, sizeof(path), "include/asm-generic/%s", e->what + 4);
		e->to = find_file(s, path);
	}
}

/* Includes that are found nowhere: of a marked file that ends so, wherever it is. */
static bool may_be_marked(const struct scan *s, const struct edge *e,
			  const char (*files)[VP_PATCH_PATH], size_t n)
{
	const char *what = e->what;

	if (e->to != SIZE_MAX)
		return s->files[e->to].marked;
	while (!strncmp(what, "../", 3))
		what += 3;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(files[i], what) ||
		    (ends(files[i], what) && files[i][strlen(files[i]) - strlen(what) - 1] == '/'))
			return true;
	return false;
}

static void mark(struct scan *s, const char (*files)[VP_PATCH_PATH], size_t n)
{
	bool again = true;

	for (size_t i = 0; i < n; i++) {
		size_t at = find_file(s, files[i]);

		if (at != SIZE_MAX)
			s->files[at].marked = true;
	}
	while (again) {
		again = false;
		for (size_t i = 0; i < s->nedges; i++) {
			struct file *from = &s->files[s->edges[i].from];

			if (from->marked || !may_be_marked(s, &s->edges[i], files, n))
				continue;
			from->marked = again = true;
		}
	}
}

/* --- all of it
 * ------------------------------------------------------------------------------------ */

int vp_includers_add(struct vp_includers *out, const char *path, struct vp_err *err)
{
	for (size_t i = 0; i < out->n; i++)
		if (!strcmp(out->paths[i], path))
			return 0;
	if (out->n == out->room) {
		size_t room = out->room ? 2 * out->room : 16;
		void *more = reallocarray(out->paths, room, sizeof(*out->paths));

		if (!more)
			return no_memory(err);
		out->paths = more;
		out->room = room;
	}
	snprintf(out->paths[out->n++], sizeof(*out->paths), "%s", path);
	return 0;
}

static int take(const struct scan *s, const char (*files)[VP_PATCH_PATH], size_t n, size_t max,
		struct vp_includers *out, struct vp_err *err)
{
	size_t found = 0;
	int rc = 0;

	for (size_t i = 0; i < s->n; i++)
		found += s->files[i].marked && ends(s->files[i].path, ".c");
	if (found > max)
		return vp_err_set(
			err, -E2BIG,
			"%.100s%s: %zu sources include it, directly or not; more than %zu "
			"are not compiled",
			files[0], n > 1 ? " and others" : "", found, max);
	for (size_t i = 0; i < s->n && !rc; i++)
		if (s->files[i].marked && ends(s->files[i].path, ".c"))
			rc = vp_includers_add(out, s->files[i].path, err);
	return rc;
}

static int scan_all(struct scan *s, const char (*files)[VP_PATCH_PATH], size_t n, bool near)
{
	char folder[VP_PATCH_PATH];
	int rc = near ? 0 : scan_folder(s, "", true, 0);

	for (size_t i = 0; near && i < n && !rc; i++) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(files[i], '/') - files[i]),
			 files[i]);
		rc = scan_folder(s, folder, false, 0);
	}
	if (!rc && s->n)
		qsort(s->files, s->n, sizeof(*s->files), by_path);
	for (size_t i = 0; i < s->n && !rc; i++)
		rc = read_includes(s, i);
	for (size_t i = 0; i < s->nedges && !rc; i++)
		resolve(s, &s->edges[i]);
	return rc;
}

int vp_includers_find(const char *source, const char (*files)[VP_PATCH_PATH], size_t n, bool near,
		      size_t max, int stop_fd, struct vp_includers *out, struct vp_err *err)
{
	struct scan s = { .source = source, .stop_fd = stop_fd };
	int rc = scan_all(&s, files, n, near);

	if (rc)
		vp_err_set(err, rc, rc == -ECANCELED ? "interrupted" : "out of memory");
	if (!rc) {
		mark(&s, files, n);
		rc = take(&s, files, n, max, out, err);
	}
	for (size_t i = 0; i < s.n; i++)
		free(s.files[i].path);
	for (size_t i = 0; i < s.nedges; i++)
		free(s.edges[i].what);
	free(s.files);
	free(s.edges);
	return rc;
}
