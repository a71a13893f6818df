/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test guest and the host that judges it share: the layout of the
 * guest's tables, found in its ELF file by the symbols named below. Plain data;
 * the guest writes its counters, the host reads them.
 */
#ifndef VP_GUEST_TESTGUEST_H
#define VP_GUEST_TESTGUEST_H

#define TG_VERSIONS_MAX 3
#define TG_WRONGS_MAX	16
#ifndef TG_INT3_EVERY
#define TG_INT3_EVERY 64 /* calls between two int3s of a worker's own */
#endif
/* Written to the exit port, plus the vector: an unexpected exception. */
#define TG_EXIT_FATAL 0x60

#ifndef __ASSEMBLER__
#include <stdint.h>

/* One instruction that may stand at a site. */
struct tg_version {
	uint8_t bytes[15];
	uint8_t emulate; /* 1: the resume rule "emulate" is legal for it */
	uint64_t result; /* what the site's function returns while it stands there */
	uint64_t fixup;	 /* code out of line that does the same and goes on behind the site */
};

/* "tg_sites" to "tg_sites_end", read only. A site starts with version 0. */
struct tg_site {
	char name[16];
	uint64_t fn;   /* the function that workers call: no arguments, result in RAX */
	uint64_t addr; /* of the patchable instruction in it */
	uint8_t len;
	uint8_t versions; /* 2..TG_VERSIONS_MAX; an unused last one repeats the one before */
	uint8_t reserved[6];
	struct tg_version version[TG_VERSIONS_MAX];
};

/* "tg_vcpus", an array of VP_GUEST_VCPU_MAX. Survives removal and return of the vCPU. */
struct tg_vcpu {
	uint64_t calls;
	uint64_t wrong;
	uint64_t own_int3;	/* executed, counted before */
	uint64_t own_int3_seen; /* of those, the handler saw with the right RIP */
	uint64_t quiet;		/* 1: the worker rests, its counters are final */
	uint64_t site;		/* private: 1 + number of the site being called, or 0 */
	uint64_t next;		/* private: number of the site to call next */
	uint64_t int3_next;	/* private: where its own int3 must return to, or 0 */
} __attribute__((aligned(64)));

/* One call that behaved like no version of its site. */
struct tg_wrong {
	uint32_t vcpu;
	uint32_t site;	 /* number in tg_sites */
	uint64_t value;	 /* what was returned, if no exception ended the call */
	uint64_t vector; /* the exception that ended it, or TG_NO_VECTOR */
	uint64_t rip;	 /* of the exception */
};

#define TG_NO_VECTOR 0x100u

/* "tg_shared". */
struct tg_shared {
	uint32_t quiesce; /* written by the host: 1 asks the workers to rest */
	uint32_t wrongs;  /* how many there were; the first TG_WRONGS_MAX are below */
	struct tg_wrong wrong[TG_WRONGS_MAX];
} __attribute__((aligned(64)));
#endif

#endif /* VP_GUEST_TESTGUEST_H */
