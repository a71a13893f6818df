/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": of the names that there are, the one that a wrong word is likely to stand for. */
#ifndef VP_BASE_SIMILAR_H
#define VP_BASE_SIMILAR_H

struct vp_similar {
	const char *word, *best; /* NULL: none is near enough so far */
	unsigned int distance;
};

void vp_similar_begin(struct vp_similar *s, const char *word);

/* @name is borrowed for as long as @s->best is looked at. Of two that are as near, the first. */
void vp_similar_offer(struct vp_similar *s, const char *name);

/* How many letters are to be changed, added, left out, or swapped with their neighbour. */
unsigned int vp_edit_distance(const char *a, const char *b);

#endif /* VP_BASE_SIMILAR_H */
