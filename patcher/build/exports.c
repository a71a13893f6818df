/* SPDX-License-Identifier: Apache-2.0 */
#include "build/exports.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/out.h"

#define EXPORTS_MAX (32u << 20)

static int by_symbol(const void *a, const void *b)
{
	const struct vp_export *x = a, *y = b;

	return strcmp(x->symbol, y->symbol);
}

/* "drivers/net/tun" -> "tun", as the kernel calls it: with _ for -. */
static const char *module_of(char *path)
{
	char *slash = strrchr(path, '/');

	if (!strcmp(path, "vmlinux"))
		return NULL;
	path = slash ? slash + 1 : path;
	for (char *p = path; (p = strchr(p, '-')); p++)
		*p = '_';
	return path;
}

/* A line: checksum, symbol, module, kind, and what else. */
static bool read_line(char *line, struct vp_export *out)
{
	char *module;

	if (!strsep(&line, "\t") || !line)
		return false;
	out->symbol = strsep(&line, "\t");
	module = line ? strsep(&line, "\t") : NULL;
	if (!*out->symbol || !module || !*module)
		return false;
	out->module = module_of(module);
	return true;
}

int vp_exports_read(struct vp_exports *e, const char *dir, struct vp_err *err)
{
	char path[PATH_MAX + 32], *rest, *line;
	size_t len, lines = 1;
	void *data;
	int rc;

	*e = (struct vp_exports){ .text = NULL };
	snprintf(path, sizeof(path), "%s/Module.symvers", dir);
	rc = vp_out_read(path, EXPORTS_MAX, &data, &len, err);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc == -ENOMEM ? rc : -ENOEXEC;
	e->text = data;
	e->text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		lines += e->text[i] == '\n';
	e->list = calloc(lines, sizeof(*e->list));
	if (!e->list)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rest = e->text;
	while (e->n < lines && (line = strsep(&rest, "\n")))
		if (read_line(line, &e->list[e->n]))
			e->n++;
	qsort(e->list, e->n, sizeof(*e->list), by_symbol);
	return 0;
}

void vp_exports_free(struct vp_exports *e)
{
	free(e->text);
	free(e->list);
	*e = (struct vp_exports){ .text = NULL };
}

const char *vp_exports_find(const struct vp_exports *e, const char *symbol, bool *exported)
{
	const struct vp_export key = { .symbol = symbol };
	const struct vp_export *found =
		e->n ? bsearch(&key, e->list, e->n, sizeof(key), by_symbol) : NULL;

	*exported = found != NULL;
	return found ? found->module : NULL;
}
