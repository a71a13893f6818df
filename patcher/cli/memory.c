/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST	(24u << 20) /* less than what malloc() maps by itself, whatever it is told */
#define LARGE	(2u << 20)  /* x86-64's large page */
#define HEAP	(64 << 20)
#define MAP_MIN (32 << 20)

void vp_memory_prepare(void)
{
	uintptr_t start, end;
	void *first;

	if (!mallopt(M_MMAP_THRESHOLD, MAP_MIN) || !mallopt(M_TOP_PAD, HEAP) ||
	    !mallopt(M_TRIM_THRESHOLD, 4 * HEAP))
		return;
	first = malloc(FIRST);
	end = (uintptr_t)sbrk(0) & ~(uintptr_t)(LARGE - 1);
	start = ((uintptr_t)first + LARGE - 1) & ~(uintptr_t)(LARGE - 1);
	if (first && start < end && end - start <= FIRST + HEAP)
		madvise((void *)start, end - start, MADV_HUGEPAGE);
	free(first);
}
