/* SPDX-License-Identifier: Apache-2.0 */
#include "build/twice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build/out.h"
#include "build/said.h"

#define OBJECT_MAX (16u << 20)
#define TYPES_MAX  (32u << 20)

static const char *const passes[] = { "before", "whole", "after", "code" };

/* "net/ipv4/arp.c" and ".o": TREE/net/ipv4/arp.o. */
static void path_of(const struct vp_compiled *c, const struct vp_make *m, const char *before,
		    const char *behind, char *out)
{
	const char *base = strrchr(c->path, '/') + 1;

	snprintf(out, VP_TREE_PATH, "%s/tree/%.*s%s%.*s%s", m->scratch->path, (int)(base - c->path),
		 c->path, before, (int)strlen(base) - 2, base, behind);
}

/* kbuild itself tells for what it compiled. */
static int find_module(struct vp_compiled *c, const struct vp_make *m, struct vp_err *err)
{
	char path[VP_TREE_PATH], *text, *name;
	size_t len, n;
	void *data;
	int rc;

	path_of(c, m, ".", ".o.cmd", path);
	rc = vp_out_read(path, OBJECT_MAX, &data, &len, err);
	if (rc)
		return rc;
	text = data;
	text[len ? len - 1 : 0] = '\0';
	name = strstr(text, "-DKBUILD_MODNAME='\"");
	if (!name || !strstr(text, " -DMODULE ")) {
		free(text);
		return 0;
	}
	name += strlen("-DKBUILD_MODNAME='\"");
	n = strcspn(name, "\"");
	if (n && n < sizeof(c->module))
		memcpy(c->module, name, n);
	else
		rc = vp_err_set(err, -ENOEXEC, "%.100s: kbuild names no module that it is of",
				c->path);
	free(text);
	return rc;
}

static int take_text(const struct vp_make *m, const char *name, char **out, struct vp_err *err)
{
	char path[VP_SCRATCH_PATH + 16];
	void *data;
	size_t len;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", m->scratch->path, name);
	rc = vp_out_read(path, TYPES_MAX, &data, &len, err);
	if (rc)
		return rc;
	*out = data;
	(*out)[len ? len - 1 : 0] = '\0';
	unlink(path);
	return 0;
}

/* What the compiler said besides the code. */
static int take_texts(struct vp_compiled *c, enum vp_pass pass, const struct vp_make *m,
		      struct vp_err *err)
{
	int rc = 0;

	if (pass == VP_PASS_BEFORE || pass == VP_PASS_AFTER)
		rc = take_text(m, "types", &c->types[pass], err);
	if (!rc && pass == VP_PASS_CODE)
		rc = take_text(m, "functions", &c->functions, err);
	return rc;
}

static int take_object(struct vp_compiled *c, enum vp_pass pass, const struct vp_make *m,
		       struct vp_err *err)
{
	char path[VP_TREE_PATH], kept[VP_TREE_PATH], behind[16];
	struct vp_sha256 sha;
	void *data = NULL;
	size_t len;
	int rc;

	path_of(c, m, "", ".o", path);
	snprintf(behind, sizeof(behind), ".%s.o", passes[pass]);
	path_of(c, m, "", behind, kept);
	rc = vp_out_read(path, OBJECT_MAX, &data, &len, err);
	if (!rc)
		rc = vp_elf_object_open(data, len, c->path, &c->objects[pass], err);
	if (!rc) {
		vp_sha256_init(&sha);
		vp_sha256_add(&sha, data, len);
		vp_sha256_end(&sha, c->digests[pass]);
	}
	free(data);
	/* The next pass makes it anew; --keep shows what was compared. */
	if (!rc && rename(path, kept))
		rc = vp_err_set(err, -errno, "%.150s: %s", path, strerror(errno));
	return rc;
}

static int hear(const struct vp_compiled *c, const struct vp_make *m, const char *said, char **out,
		struct vp_err *err)
{
	char tree[VP_SCRATCH_PATH + 16];
	const struct vp_said_name names[] = { { tree, "" } };

	snprintf(tree, sizeof(tree), "%s/tree/", m->scratch->path);
	free(*out);
	*out = vp_said_for_user(said, names, 1);
	if (!*out)
		return vp_err_set(err, -ENOMEM, "out of memory");
	return vp_err_set(err, -EBADMSG, "%.150s does not compile", c->path);
}

int vp_twice_compile(struct vp_compiled *c, enum vp_pass pass, const struct vp_make *m, char **said,
		     struct vp_err *err)
{
	char folder[VP_SCRATCH_PATH + 16], goal[VP_PATCH_PATH], with[32], *text;
	int status, rc;

	snprintf(folder, sizeof(folder), "%s/tree", m->scratch->path);
	snprintf(goal, sizeof(goal), "%.*s.o", (int)strlen(c->path) - 2, c->path);
	snprintf(with, sizeof(with), "VMPOKE=%s", passes[pass]);
	rc = vp_make_run(m, folder, goal, with, &text, &status, err);
	if (rc)
		return rc;
	/* make stops there, or does not even come into that folder. */
	if (status && pass == VP_PASS_BEFORE &&
	    (strstr(text, VP_TREE_NOT_BUILT) || strstr(text, "No rule to make target"))) {
		free(text);
		return 0;
	}
	if (status) {
		rc = hear(c, m, text, said, err);
		free(text);
		return rc;
	}
	free(text);
	c->built = true;
	rc = take_object(c, pass, m, err);
	if (!rc)
		rc = take_texts(c, pass, m, err);
	if (!rc && pass == VP_PASS_BEFORE)
		rc = find_module(c, m, err);
	return rc;
}

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), m = strlen(with);

	return n >= m && !strcmp(text + n - m, with);
}

/* Is @used, as the compiler had it, @path of another tree than the one at @own? */
static bool is_another(const char *used, const char *path, const char *own)
{
	char real[PATH_MAX], below[VP_PATCH_PATH + 2];

	snprintf(below, sizeof(below), "/%s", path);
	if (!ends(used, strrchr(below, '/')) || used[0] != '/' || !realpath(used, real))
		return false;
	return ends(real, below) && strcmp(real, own);
}

int vp_twice_reads(const struct vp_compiled *c, const struct vp_make *m, const char *path,
		   struct vp_err *err)
{
	char cmd[VP_TREE_PATH], ours[VP_TREE_PATH], own[PATH_MAX], *rest, *word;
	void *data;
	size_t len;
	int rc;

	path_of(c, m, ".", ".o.cmd", cmd);
	snprintf(ours, sizeof(ours), "%s/tree/%s", m->scratch->path, path);
	if (!realpath(ours, own))
		return vp_err_set(err, -errno, "%.200s: %s", ours, strerror(errno));
	rc = vp_out_read(cmd, OBJECT_MAX, &data, &len, err);
	if (rc)
		return rc;
	rest = data;
	rest[len ? len - 1 : 0] = '\0';
	while (!rc && (word = strsep(&rest, " \t\n\\")))
		if (is_another(word, path, own))
			rc = vp_err_set(err, -EOPNOTSUPP,
					"%.100s takes in %.100s in a way that a diff cannot change",
					c->path, path);
	free(data);
	return rc;
}

bool vp_twice_differs(const struct vp_compiled *c)
{
	return c->built &&
	       memcmp(c->digests[VP_PASS_BEFORE], c->digests[VP_PASS_AFTER], sizeof(c->digests[0]));
}

void vp_twice_free(struct vp_compiled *c)
{
	for (size_t i = 0; i < VP_PASSES; i++) {
		vp_elf_object_close(c->objects[i]);
		free(c->types[i]);
	}
	free(c->functions);
	*c = (struct vp_compiled){ .path = NULL };
}

/* --- functions --------------------------------------------------------------------------------
 * A line for each: the file, the line, NF in a comment (F: it is defined there), and then
 * "static inline int name (int a);".
 */

bool vp_twice_in_header(void *arg, const char *function)
{
	const struct vp_compiled *c = arg;
	char want[VP_PATCH_PATH];
	const char *at = c->functions;

	if (snprintf(want, sizeof(want), "%s (", function) >= (int)sizeof(want))
		return false;
	while (at && (at = strstr(at, want))) {
		const char *line = at, *kind, *end;
		bool whole = at > c->functions && strchr(" *", at[-1]);

		while (line > c->functions && line[-1] != '\n')
			line--;
		kind = strstr(line, " */");
		if (whole && kind && kind < at && kind > line + 2 && kind[-1] == 'F') {
			end = memchr(line, ':', (size_t)(kind - line));
			return end && end - line > 2 && !strncmp(end - 2, ".h", 2);
		}
		at++;
	}
	return false;
}

/* --- structures -------------------------------------------------------------------------------
 * A line for each: type _NAME struct { member type; ... }
 */

static int by_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of @text that tell of structures, sorted; @text is cut into pieces. */
static char **structures(char *text, size_t *n)
{
	char **list = NULL, *line;
	size_t room = 0;

	*n = 0;
	while ((line = strsep(&text, "\n"))) {
		if (strncmp(line, "type _", 6) || !strstr(line, " struct {"))
			continue;
		if (*n == room) {
			char **more =
				reallocarray(list, room = room ? 2 * room : 1024, sizeof(*list));

			if (!more) {
				free(list);
				return NULL;
			}
			list = more;
		}
		list[(*n)++] = line;
	}
	if (*n)
		qsort(list, *n, sizeof(*list), by_line);
	return list;
}

bool vp_twice_structure(const struct vp_compiled *c, char *name, size_t size)
{
	size_t n = 0, m = 0, i = 0, j = 0;
	char **old = structures(c->types[VP_PASS_BEFORE], &n);
	char **new = structures(c->types[VP_PASS_AFTER], &m);
	bool found = false;

	while (!found && i < n && j < m) {
		size_t x = strcspn(old[i] + 6, " "), y = strcspn(new[j] + 6, " ");
		int rc = strncmp(old[i] + 6, new[j] + 6, x < y ? x : y);

		rc = rc ? rc : x < y ? -1 : x > y;
		found = !rc && strcmp(old[i], new[j]);
		if (found)
			snprintf(name, size, "%.*s", (int)x, old[i] + 6);
		i += rc <= 0;
		j += rc >= 0;
	}
	free(old);
	free(new);
	return found;
}
