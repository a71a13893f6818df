/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breadth first over all states, so that the first violation found has the shortest schedule. A
 * state is known by a 128-bit hash of its bytes (snapshot.c). Every step uses something up, so the
 * graph has no cycle and the schedules through it can be counted.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search.h"

struct node {
	uint64_t hash[2];
	uint32_t parent;
	uint32_t first_edge;
	struct choice by; /* the step that led here from parent */
};

struct level { /* snapshots of states yet to be expanded, in order */
	uint8_t *bytes;
	size_t used, room;
};

static struct node *nodes;
static size_t nnodes, nodes_room;
static uint32_t *edges;
static size_t nedges, edges_room;
static uint32_t *table; /* open addressing: index of a node + 1 */
static size_t table_size, table_room;
static struct level current, next;

static void *grow(void *p, size_t *room, size_t need, size_t size)
{
	if (need <= *room)
		return p;
	*room = need * 2;
	p = realloc(p, *room * size);
	if (!p)
		abort();
	return p;
}

/* The like of it, all zero. (calloc() and free() are the engine's here: snapshot.c.) */
static void *zeroed(void *p, size_t *room, size_t n, size_t size)
{
	return memset(grow(p, room, n, size), 0, n * size);
}

/* --- states ------------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static void hash_bytes(const uint8_t *p, size_t n, uint64_t out[2])
{
	uint64_t a = n ^ 0x9e3779b97f4a7c15ull, b = n ^ 0xd6e8feb86659fd93ull;

	for (; n; p += 8) {
		uint64_t x = 0;
		size_t k = n < 8 ? n : 8;

		memcpy(&x, p, k);
		a = mix(a ^ x, 0xa0761d6478bd642full);
		b = mix(b + x, 0xe7037ed1a0b428dbull) ^ a;
		n -= k;
	}
	out[0] = a;
	out[1] = b;
}

static void rehash(void)
{
	table_size = table_size ? table_size * 2 : 1 << 16;
	table = zeroed(table, &table_room, table_size, sizeof(*table));
	for (size_t i = 0; i < nnodes; i++) {
		size_t at = nodes[i].hash[0] & (table_size - 1);

		while (table[at])
			at = (at + 1) & (table_size - 1);
		table[at] = (uint32_t)i + 1;
	}
}

/* The node of the state of the world; a new one is queued. */
static uint32_t node_here(uint32_t parent, struct choice by)
{
	uint64_t hash[2];
	size_t at, n;

	next.bytes = grow(next.bytes, &next.room, next.used + SNAPSHOT_MAX, 1);
	n = snapshot_save(next.bytes + next.used);
	hash_bytes(next.bytes + next.used, n, hash);
	if (2 * nnodes >= table_size)
		rehash();
	for (at = hash[0] & (table_size - 1); table[at]; at = (at + 1) & (table_size - 1))
		if (!memcmp(nodes[table[at] - 1].hash, hash, sizeof(hash)))
			return table[at] - 1;
	next.used += n;
	nodes = grow(nodes, &nodes_room, nnodes + 1, sizeof(*nodes));
	nodes[nnodes] = (struct node){ .hash = { hash[0], hash[1] }, .parent = parent, .by = by };
	table[at] = (uint32_t)++nnodes;
	return (uint32_t)nnodes - 1;
}

/* --- steps ------------------------------------------------------------------- */

static sigjmp_buf crashed;

static void on_crash(int sig)
{
	siglongjmp(crashed, sig);
}

/* Who uses what was freed is a finding like any other. */
static void catch_crashes(void)
{
	static uint8_t stack[0x10000];
	const stack_t own = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER };

	sigaltstack(&own, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

static void step(struct choice c)
{
	if (sigsetjmp(crashed, 0))
		violate("crash: memory was used that was freed");
	else
		world_step(&c);
}

/* --- one schedule, for people ------------------------------------------------ */

#define COLUMN 34

static void print_line(unsigned int n, unsigned int who, const char *text)
{
	printf("# %4u  %*s%s\n", n, (int)(COLUMN * who), "", text[0] ? text : "(goes on)");
}

/* @c: the step that went wrong; NULL: there is none to make. */
static void print_schedule(size_t scenario, uint32_t last, const struct choice *c)
{
	unsigned int n = 0, at;
	static struct choice *path;
	static size_t room;
	char text[512], name[16];

	for (uint32_t i = last; i; i = nodes[i].parent)
		n++;
	path = grow(path, &room, n + 1, sizeof(*path));
	at = n;
	if (c)
		path[n] = *c;
	for (uint32_t i = last; i; i = nodes[i].parent)
		path[--at] = nodes[i].by;
	printf("# step  ");
	for (unsigned int i = 0; i < world_columns(); i++)
		printf("%-*s", COLUMN, world_column(i, name));
	printf("\n");
	violation[0] = '\0';
	world_begin(scenario);
	notes = text;
	for (unsigned int i = 0; i < n + (c ? 1 : 0) && !violation[0]; i++) {
		text[0] = '\0';
		step(path[i]);
		print_line(i + 1, path[i].who, text);
	}
	if (!c)
		world_stuck();
	notes = NULL;
	printf("# %s\n", violation);
}

static unsigned int depth_of(uint32_t i)
{
	unsigned int n = 0;

	for (; i; i = nodes[i].parent)
		n++;
	return n;
}

/* --- the search -------------------------------------------------------------- */

/* Schedules from a node to an end, each counted once by its steps; 0: not known yet. */
static long double *paths;
static unsigned int *height;
static size_t paths_room, height_room;

static void count_paths(uint32_t i)
{
	uint32_t end = i + 1 < nnodes ? nodes[i + 1].first_edge : (uint32_t)nedges;

	if (height[i] || paths[i] > 0)
		return;
	if (nodes[i].first_edge == end)
		paths[i] = 1;
	for (uint32_t e = nodes[i].first_edge; e < end; e++) {
		count_paths(edges[e]);
		paths[i] += paths[edges[e]];
		if (height[i] < height[edges[e]] + 1)
			height[i] = height[edges[e]] + 1;
	}
}

/* Make every step that state @i has. False: one of them went wrong, or (@none) there is none. */
static bool expand(uint32_t i, const uint8_t *snapshot, struct choice *bad, bool *none,
		   struct outcome *o)
{
	struct choice list[MAX_CHOICES];
	unsigned int n = core.cut ? 0 : world_choices(list);

	nodes[i].first_edge = (uint32_t)nedges;
	o->cut += core.cut;
	*none = !n;
	if (!n && !core.cut)
		world_stuck();
	for (unsigned int k = 0; k < n && !violation[0]; k++) {
		if (k)
			snapshot_load(snapshot);
		*bad = list[k];
		step(list[k]);
		if (violation[0])
			break;
		edges = grow(edges, &edges_room, nedges + 1, sizeof(*edges));
		edges[nedges++] = node_here(i, list[k]);
	}
	return !violation[0];
}

static void finish_counts(struct outcome *o)
{
	paths = zeroed(paths, &paths_room, nnodes, sizeof(*paths));
	height = zeroed(height, &height_room, nnodes, sizeof(*height));
	count_paths(0);
	o->schedules = paths[0];
	o->longest = height[0];
}

struct outcome search(size_t scenario, bool show)
{
	struct outcome o = { 0 };
	uint32_t i = 0;
	bool ok = true, none;

	catch_crashes();
	violation[0] = '\0';
	nnodes = nedges = table_size = current.used = next.used = 0;
	world_begin(scenario);
	node_here(0, (struct choice){ 0, 0, 0 });
	while (ok && next.used) {
		struct level done = current;

		current = next;
		next = done;
		next.used = 0;
		for (size_t at = 0; ok && at < current.used;) {
			const uint8_t *snapshot = current.bytes + at;
			struct choice bad = { 0, 0, 0 };

			at += snapshot_load(snapshot);
			ok = expand(i, snapshot, &bad, &none, &o);
			if (!ok && show)
				print_schedule(scenario, i, none ? NULL : &bad);
			if (!ok)
				o.steps = depth_of(i) + !none;
			i++;
		}
	}
	if (ok)
		finish_counts(&o);
	o.states = nnodes;
	o.transitions = nedges;
	return o;
}
