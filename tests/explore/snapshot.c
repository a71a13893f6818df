/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole state, as bytes: the world, the engine's heap, the live stacks. Whatever the
 * engine does next follows from these bytes and the choices made: two states with the same bytes
 * have the same future, which is why one of them is enough.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* --- the engine's heap ------------------------------------------------------- */

/* Blocks are never used again, so that what is freed is known as such for ever. */
struct block {
	size_t size;
	size_t freed;
};

static uint8_t heap[0x8000] __attribute__((aligned(16)));

void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void __wrap_free(void *p);

void *__wrap_calloc(size_t n, size_t size)
{
	size_t room = (n * size + 15) & ~(size_t)15;
	struct block *b = (struct block *)(void *)(heap + w.heap_used);

	if (w.heap_used + sizeof(*b) + room > sizeof(heap))
		abort();
	*b = (struct block){ .size = room };
	w.heap_used += sizeof(*b) + room;
	return memset(b + 1, 0, room);
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
	/* A handler that has its verdict stands for one that is not yet done with the table. */
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.vcpu[i].table == p)
			violate("a trap table is freed while the handler of vCPU %u has it", i);
	b->freed = 1;
	memset(p, 0xdd, b->size); /* who uses it all the same crashes: see search.c */
}

/* --- copies ------------------------------------------------------------------ */

size_t snapshot_save(uint8_t *to)
{
	uint8_t *at = to;

	/* Counters that nobody reads must not make states differ. */
	memset(&w.engine->stats, 0, sizeof(w.engine->stats));
	memcpy(at, &w, sizeof(w));
	at += sizeof(w);
	memcpy(at, heap, w.heap_used);
	at += w.heap_used;
	for (unsigned int i = 0; i < COROUTINES; i++) {
		size_t n = coro_live(i);

		memcpy(at, w.sp[i], n);
		at += n;
	}
	return (size_t)(at - to);
}

size_t snapshot_load(const uint8_t *from)
{
	const uint8_t *at = from;

	memcpy(&w, at, sizeof(w));
	at += sizeof(w);
	memcpy(heap, at, w.heap_used);
	at += w.heap_used;
	for (unsigned int i = 0; i < COROUTINES; i++) {
		size_t n = coro_live(i);

		memcpy(w.sp[i], at, n);
		at += n;
	}
	return (size_t)(at - from);
}
