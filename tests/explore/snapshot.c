/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole state, as bytes: the world, the heap, the live stacks. Whatever a coroutine
 * does next follows from these bytes and the choices made: two states with the same bytes
 * have the same future, which is why one of them is enough.
 */
#include <stdlib.h>
#include <string.h>

#include "search.h"

struct core core;

/* --- the heap of what is explored ------------------------------------------------------- */

/* Blocks are never used again, so that what is freed is known as such for ever. */
struct block {
	size_t size;
	size_t freed;
};

#define LINE 64

static uint8_t heap[0x8000] __attribute__((aligned(LINE)));

void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void __wrap_free(void *p);

void *__wrap_calloc(size_t n, size_t size)
{
	size_t room = (n * size + 15) & ~(size_t)15;
	struct block *b = (struct block *)(void *)(heap + core.heap_used);

	if (core.heap_used + sizeof(*b) + room > sizeof(heap))
		abort();
	*b = (struct block){ .size = room };
	core.heap_used += sizeof(*b) + room;
	return memset(b + 1, 0, room);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	size_t over = (core.heap_used + sizeof(struct block)) % LINE;

	if (align != LINE)
		abort();
	core.heap_used += over ? LINE - over : 0;
	return __wrap_calloc(1, size);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
	void *p = __wrap_calloc(n, size);

	if (old) {
		memcpy(p, old, ((struct block *)old - 1)->size);
		__wrap_free(old);
	}
	return p;
}

void __wrap_free(void *p)
{
	struct block *b = (struct block *)p - 1;

	if (!p)
		return;
	if (b->freed)
		violate("memory is freed twice");
	world_freed(p);
	b->freed = 1;
	memset(p, 0xdd, b->size); /* who uses it all the same crashes: see search.c */
}

/* --- copies ------------------------------------------------------------------ */

size_t snapshot_save(uint8_t *to)
{
	const struct world_bytes world = world_bytes();
	uint8_t *at = to;

	world_clean();
	memcpy(at, &core, sizeof(core));
	at += sizeof(core);
	memcpy(at, world.at, world.size);
	at += world.size;
	memcpy(at, heap, core.heap_used);
	at += core.heap_used;
	for (unsigned int i = 0; i < COROUTINES; i++) {
		size_t n = coro_live(i);

		memcpy(at, core.sp[i], n);
		at += n;
	}
	return (size_t)(at - to);
}

size_t snapshot_load(const uint8_t *from)
{
	const struct world_bytes world = world_bytes();
	const uint8_t *at = from;

	memcpy(&core, at, sizeof(core));
	at += sizeof(core);
	memcpy(world.at, at, world.size);
	at += world.size;
	memcpy(heap, at, core.heap_used);
	at += core.heap_used;
	for (unsigned int i = 0; i < COROUTINES; i++) {
		size_t n = coro_live(i);

		memcpy(core.sp[i], at, n);
		at += n;
	}
	return (size_t)(at - from);
}
