/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target without a guest: some memory, page tables, and vCPUs that do what the test says.
 * Every operation is written into a trace, and a hook may act before each one.
 */
#ifndef VP_TESTS_FAKE_H
#define VP_TESTS_FAKE_H

#include <vmpoke/poke.h>

#define FAKE_RAM   0x100000u
#define FAKE_TEXT  0xffffffff80000000ull /* 16 pages, executable: gpa 0x40000.. */
#define FAKE_DATA  0xffffffff80010000ull /* 16 pages, no-execute: gpa 0x60000.. */
#define FAKE_SPLIT 0xffffffff80020000ull /* 2 pages, executable, on gpa 0x80000 and 0x90000 */
#define FAKE_ALIAS 0xffffffff80030000ull /* the first text page once more */
#define FAKE_HOLE  0xffffffff80040000ull /* executable, but its page is outside RAM */

struct fake {
	struct vp_target target; /* first */
	uint8_t ram[FAKE_RAM];
	struct vp_paging paging;
	uint64_t rip;	       /* of its one vCPU */
	int vcpu;	       /* that vCPU's number */
	bool compat;	       /* it runs compatibility-mode code ... */
	uint64_t cs_base;      /* ... with this base */
	bool whole;	       /* it can swap an instruction at once */
	bool nested;	       /* it runs a guest of its own */
	uint64_t rom, rom_len; /* guest-physical memory that must not be written */
	char trace[4096];      /* the operations that act on the guest: "arm cap sync ..." */
	unsigned int syncs, unparks;
	enum vp_sync sync_what; /* of the last one */
	bool locked, armed, stopped, held;
	bool expects_deadlock; /* a second lock() is -EDEADLK, as it is of a real target; else a bug
				*/
	int fail_sync;	       /* the number of the sync that fails, 1..; 0: none */
	bool never_answers;    /* ... and so do all after it */
	int arm_rc, writable_rc, stop_rc;
	bool fail_write; /* the writes_left-th write() fails in its middle ... */
	unsigned int writes_left;
	bool write_stays_broken; /* ... and so do all after it */
	/* Called before each operation with its name. */
	void (*hook)(struct fake *f, const char *op);
	void *hook_arg;
	void (*on_read)(struct fake *f, vp_gpa gpa); /* before each read() */
	/* It reads and writes many pieces at once (fake_take_pieces()). */
	struct vp_target_ops ops;
	unsigned int reads, piece_reads; /* calls of read(), of read_pieces() */
	bool fail_pieces;
};

struct fake *fake_new(void);
void fake_free(struct fake *f);

/* From now on it has read_pieces() and write_pieces(). */
void fake_take_pieces(struct fake *f);

/* Guest memory at a guest-virtual address (one page). */
uint8_t *fake_at(struct fake *f, uint64_t gva);

/* Take the page of @gva out of the page tables. */
void fake_unmap(struct fake *f, uint64_t gva);

/* A vCPU ran into an int3 at @gva: ask the sink. @regs may be NULL. */
enum vp_verdict fake_trap(struct fake *f, uint64_t gva, struct vp_regs *regs);

/* A site from hex-free byte strings; @len bytes each. */
struct vp_site fake_site(uint64_t gva, const char *old_bytes, const char *new_bytes, size_t len,
			 enum vp_resume resume);

#define NOP5 "\x0f\x1f\x44\x00\x00"
#define JMP5 "\xe9\x10\x00\x00\x00"

/* Two places where a new world has a 5-byte nop. */
#define A (FAKE_TEXT + 0x100)
#define B (FAKE_TEXT + 0x200)

/* The site that makes a JMP5 of a NOP5; its fixup is what comes behind. */
struct vp_site fake_jmp_at(uint64_t gva, enum vp_resume resume);

/* A fake with an engine on it: what most tests of the core start from. */
struct world {
	struct fake *fake;
	struct vp_engine *engine;
};

/* For cmocka: *state is a struct world. Non-zero: it could not be made. */
int fake_world_setup(void **state);
int fake_world_teardown(void **state);

#endif /* VP_TESTS_FAKE_H */
