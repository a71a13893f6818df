/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/marks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/colour.h"
#include "cli/common.h"
#include "cli/pokes.h"

static bool meet(uint64_t a, size_t a_len, uint64_t b, size_t b_len)
{
	return b - a < a_len || a - b < b_len;
}

static int add(struct vp_marks *m, const json_t *poke, const json_t *site)
{
	struct vp_mark mark = {
		.addr = vp_client_addr(site, "addr").v,
		.len = strlen(vp_client_text(site, "new")) / 2,
		.poke = poke,
		.site = site,
	};
	struct vp_mark *more;

	more = reallocarray(m->list, m->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	m->list = more;
	more[m->n++] = mark;
	return 0;
}

int vp_marks_look(struct vp_client *c, uint64_t addr, size_t len, struct vp_marks *out)
{
	const json_t *poke, *site;
	struct vp_err why;
	size_t i, j;
	int code;

	*out = (struct vp_marks){ 0 };
	code = vp_client_pokes(c,
			       json_pack("{s:o, s:I}", "addr",
					 json_sprintf("0x%llx", (unsigned long long)addr), "len",
					 (json_int_t)len),
			       &out->pokes, &why);
	if (!code && !out->pokes)
		vp_common_note(c->cmd, "what is poked is not marked: %s", why.text);
	json_array_foreach(out->pokes, i, poke)
	{
		json_array_foreach(json_object_get(poke, "sites"), j, site)
		{
			if (!code && add(out, poke, site))
				code = vp_cmd_fail(c->cmd, VP_EXIT_HOST, "out of memory");
		}
	}
	return code;
}

void vp_marks_clear(struct vp_marks *m)
{
	free(m->list);
	json_decref(m->pokes);
	*m = (struct vp_marks){ 0 };
}

static void set(const struct vp_mark *mark, json_t *object)
{
	json_object_set(object, "poke", json_object_get(mark->poke, "id"));
	json_object_set_new(object, "stands", json_boolean(vp_poke_stands(mark->site)));
	json_object_set_new(object, "standing", json_string(vp_poke_standing(mark->site)));
	if (json_is_false(json_object_get(mark->poke, "recorded")))
		json_object_set_new(object, "recorded", json_false());
}

void vp_marks_set(const struct vp_marks *m, uint64_t addr, size_t len, json_t *object)
{
	for (size_t i = m->n; i--;) {
		if (!meet(addr, len, m->list[i].addr, m->list[i].len))
			continue;
		set(&m->list[i], object);
		return;
	}
}

void vp_mark_print(const json_t *object)
{
	const char *wrong = "";

	if (!json_object_get(object, "poke"))
		return;
	if (!json_is_true(json_object_get(object, "stands")))
		wrong = vp_client_text(object, "standing");
	else if (json_object_get(object, "recorded"))
		wrong = "STANDS WITHOUT A RECORD";
	printf("  %s<- poke %lld%s%s%s", vp_colour(*wrong ? VP_COLOUR_BAD : VP_COLOUR_MARK),
	       vp_client_int(object, "poke"), *wrong ? ": " : "", wrong, vp_colour_end());
}

void vp_marks_print_line(const struct vp_marks *m, uint64_t addr, size_t len)
{
	const char *glue = "  <- poke ";
	const json_t *last = NULL;

	for (size_t i = 0; i < m->n; i++) {
		const struct vp_mark *mark = &m->list[i];

		if (mark->poke == last || !meet(addr, len, mark->addr, mark->len))
			continue;
		printf("%s%s%lld%s", vp_colour(VP_COLOUR_MARK), glue,
		       vp_client_int(mark->poke, "id"), vp_colour_end());
		last = mark->poke;
		glue = ", ";
	}
}

json_t *vp_marks_json(const struct vp_marks *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n; i++) {
		const struct vp_mark *mark = &m->list[i];
		json_t *one = json_pack("{s:o, s:I}", "addr",
					json_sprintf("0x%llx", (unsigned long long)mark->addr),
					"bytes", (json_int_t)mark->len);

		set(mark, one);
		json_array_append_new(list, one);
	}
	return list;
}
