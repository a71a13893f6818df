/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is the same for every world that is searched: coroutines, the state as bytes, the search.
 * A world is a folder here (engine/, local/), and a program of its own. docs/exploration.md says
 * what is modelled and why the search is complete.
 *
 * All that changes is in `core`, in the world's own bytes, in the heap and on the stacks of the
 * coroutines; snapshot.c copies exactly these.
 */
#ifndef VP_EXPLORE_SEARCH_H
#define VP_EXPLORE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COROUTINES 5

struct core {
	size_t heap_used;
	void *sp[COROUTINES]; /* NULL: it does not run */
	bool cut;	      /* nothing more is to be seen: the schedule ends here */
};
extern struct core core;

/* One step that could be made now. */
struct choice {
	uint8_t who; /* a column of the schedule */
	uint8_t what, arg;
};
#define MAX_CHOICES 32

/* The first violation found, or "". */
extern char violation[256];
void violate(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What the step being made does, for a schedule that is printed; NULL: nobody reads it. */
extern char *notes;
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- what each world has ------------------------------------------------------- */

struct scenario_text {
	const char *name, *what;
	bool quick;
};
extern const size_t nscenarios;
struct scenario_text world_scenario(size_t i);

/* Break an obligation of the model on purpose. False: it has none of that name. */
bool world_break(const char *what);

/* Begin scenario @i, anew. */
void world_begin(size_t i);
unsigned int world_choices(struct choice *to); /* at most MAX_CHOICES */
void world_step(const struct choice *c);       /* with a look at what must hold then */
void world_stuck(void);			       /* no step is possible: is that how it should end? */
unsigned int world_columns(void);
const char *world_column(unsigned int who, char text[16]);

/* Its own bytes; world_clean(): before a copy, set what nobody reads to one value. */
struct world_bytes {
	void *at;
	size_t size;
};
struct world_bytes world_bytes(void);
void world_clean(void);
void world_freed(const void *p); /* a block of the heap is freed: may it be? */

/* --- coro.c ------------------------------------------------------------------ */

/* Let coroutine @who run until it yields. */
void coro_run(unsigned int who);
void coro_start(unsigned int who, void (*entry)(void));
void coro_yield(void);
unsigned int coro_running(void);
size_t coro_live(unsigned int who); /* bytes of its stack in use, from core.sp[who] up */

/* --- snapshot.c -------------------------------------------------------------- */

size_t snapshot_save(uint8_t *to); /* at most SNAPSHOT_MAX bytes */
size_t snapshot_load(const uint8_t *from);
#define SNAPSHOT_MAX 0x20000u

/* --- search.c ---------------------------------------------------------------- */

struct outcome {
	long double schedules;
	size_t states, transitions;
	size_t cut; /* states where the schedule ends early */
	unsigned int longest;
	unsigned int steps; /* of the shortest schedule that goes wrong; 0: none does */
};

/* Visit every state of scenario @i. On a violation, `violation` says what, and the schedule is
 * printed if @show. */
struct outcome search(size_t i, bool show);

#endif /* VP_EXPLORE_SEARCH_H */
