/* SPDX-License-Identifier: Apache-2.0 */
#include "base/similar.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define LENGTH_MAX 128u

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Row by row of the table of all prefixes (optimal string alignment); two rows back for swaps. */
unsigned int vp_edit_distance(const char *a, const char *b)
{
	unsigned int rows[3][LENGTH_MAX + 1];
	size_t m = strlen(a), n = strlen(b);

	if (m > LENGTH_MAX || n > LENGTH_MAX)
		return UINT_MAX;
	for (unsigned int j = 0; j <= n; j++)
		rows[0][j] = j;
	for (unsigned int i = 1; i <= m; i++) {
		unsigned int *now = rows[i % 3], *before = rows[(i + 2) % 3];

		now[0] = i;
		for (size_t j = 1; j <= n; j++) {
			now[j] = least(before[j], now[j - 1]) + 1;
			now[j] = least(now[j], before[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], rows[(i + 1) % 3][j - 2] + 1);
		}
	}
	return rows[m % 3][n];
}

/* A third of a word may be wrong, and of a short one a letter. */
void vp_similar_begin(struct vp_similar *s, const char *word)
{
	size_t third = strlen(word) / 3;

	*s = (struct vp_similar){ .word = word,
				  .distance = 1 + (third > 1 ? (unsigned int)third : 1) };
}

void vp_similar_offer(struct vp_similar *s, const char *name)
{
	size_t a = strlen(s->word), b = strlen(name);
	unsigned int distance;

	if ((a > b ? a - b : b - a) >= s->distance) /* spares the table, of a hundred thousand */
		return;
	distance = vp_edit_distance(s->word, name);
	if (distance >= s->distance)
		return;
	s->distance = distance;
	s->best = name;
}
