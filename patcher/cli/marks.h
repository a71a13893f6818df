/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes of what is shown were written by a poke. */
#ifndef VP_CLI_MARKS_H
#define VP_CLI_MARKS_H

#include "cli/client.h"

/* A site of a poke. */
struct vp_mark {
	uint64_t addr;
	size_t len;
	const json_t *poke, *site;
};

struct vp_marks {
	struct vp_mark *list; /* of the oldest poke first; none that newer ones hide */
	size_t n;
	json_t *pokes; /* what the target said */
};

/*
 * What is poked of bytes [addr, addr + len). That it cannot be told is no failure of a command that
 * looks: it is said then, and nothing is marked. An exit code; to be cleared in any case.
 */
int vp_marks_look(struct vp_client *c, uint64_t addr, size_t len, struct vp_marks *out);
void vp_marks_clear(struct vp_marks *m);

/*
 * If a poke lies over bytes [addr, addr + len): the newest as members of @object: "poke", its
 * number; "standing", in words, and "stands", whether that is as it should be; "recorded", if it is
 * not. vp_mark_print(): these members, behind a line of text.
 */
void vp_marks_set(const struct vp_marks *m, uint64_t addr, size_t len, json_t *object);
void vp_mark_print(const json_t *object);

/* Behind a line of a dump: which pokes lie over its bytes. */
void vp_marks_print_line(const struct vp_marks *m, uint64_t addr, size_t len);

/* All sites: "addr", "bytes" (how many), and the members of vp_marks_set(). */
json_t *vp_marks_json(const struct vp_marks *m);

#endif /* VP_CLI_MARKS_H */
