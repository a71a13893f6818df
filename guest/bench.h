/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest of `vmpoke bench` and the host that measures it share. Found in its ELF file by
 * the symbols named below. Plain data; each word has one writer.
 */
#ifndef VP_GUEST_BENCH_H
#define VP_GUEST_BENCH_H

/*
 * "tb_code": blocks of sites, each a function: TB_BLOCK_SITES times a site and what a fixup goes on
 * at, then a ret. A site is a nop of five bytes, or a jmp to behind itself: the same to the guest.
 */
#define TB_SITES	4096
#define TB_BLOCK_SITES	16
#define TB_BLOCKS	(TB_SITES / TB_BLOCK_SITES)
#define TB_SITE_LEN	5
#define TB_SITE_STRIDE	8
#define TB_BLOCK_STRIDE (TB_BLOCK_SITES * TB_SITE_STRIDE + TB_SITE_STRIDE)

#ifndef __ASSEMBLER__
#include <stdint.h>

/* "tb_vcpus", an array of VP_GUEST_VCPU_MAX; written by that vCPU. In TSC units. */
struct tb_vcpu {
	uint64_t rounds;   /* one block each */
	uint64_t last_tsc; /* at the beginning of the newest round */
	uint64_t longest;  /* from one round's beginning to the next one's, since the reset */
	uint64_t reset;	   /* the newest one seen */
} __attribute__((aligned(64)));

/* What a worker does in each round besides a block. */
enum tb_extra {
	TB_NOTHING,
	TB_EXIT, /* `out` to a port that nobody has: a bare exit */
	TB_INT3, /* an int3 of the guest's own */
};

/* "tb_shared"; written by the host. */
struct tb_shared {
	uint32_t blocks; /* the workers run only so many of the first ones, 1 to TB_BLOCKS */
	uint32_t extra;	 /* enum tb_extra */
	uint32_t reset;	 /* count it up: vCPUs begin `longest` anew */
} __attribute__((aligned(64)));
#endif

#endif /* VP_GUEST_BENCH_H */
