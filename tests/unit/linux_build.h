/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux guest made of bytes: page tables, an image with symbols as each generation of kernels
 * lays them out, static keys, a module. A test changes what it wants to be wrong.
 */
#ifndef VP_TESTS_LINUX_BUILD_H
#define VP_TESTS_LINUX_BUILD_H

#include <vmpoke/linux.h>

#define LG_RAM	     0x1000000u
#define LG_IMAGE_GPA 0x400000u
#define LG_LINKED    0xffffffff81000000ull
#define LG_MODULES   0xffffffffc0000000ull /* 16 pages, executable and writable */

/* Offsets in the image: 4 MB of text; some read-only data and a hole; 2 MB of data. */
#define LG_ENTRY_TEXT  0x200000u /* what user space sees of the kernel under PTI */
#define LG_ETEXT       0x300123u
#define LG_RODATA      0x400000u
#define LG_RODATA_SIZE 0x60000u
#define LG_END_RODATA  (LG_RODATA + LG_RODATA_SIZE - 0x100u)
#define LG_BANNER      (LG_RODATA + 0x40u)
#define LG_NOTES       (LG_RODATA + 0x200u)
#define LG_KALLSYMS    (LG_RODATA + 0x1000u)
#define LG_BTF	       (LG_RODATA + 0x50000u)
#define LG_DATA	       0x600000u
#define LG_SWAPPER     LG_DATA /* two pages: the second for user space */
#define LG_VARS	       (LG_DATA + 0x2000u)
#define LG_JUMPS       (LG_DATA + 0x10000u)
#define LG_KEYS	       (LG_DATA + 0x20000u)
#define LG_IMAGE_SIZE  0x800000u

/* Variables, eight bytes each but the mutexes, which have 32. */
#define LG_PHYS_BASE	   LG_VARS
#define LG_PAGE_OFFSET	   (LG_VARS + 0x08u)
#define LG_VMALLOC	   (LG_VARS + 0x10u)
#define LG_VMEMMAP	   (LG_VARS + 0x18u)
#define LG_VMCOREINFO	   (LG_VARS + 0x20u)
#define LG_VMCOREINFO_SIZE (LG_VARS + 0x28u)
#define LG_TEXT_MUTEX	   (LG_VARS + 0x40u)
#define LG_JUMP_MUTEX	   (LG_VARS + 0x60u)
#define LG_MODULE_LIST	   (LG_VARS + 0x80u)
#define LG_KPROBE_MUTEX	   (LG_VARS + 0xa0u)
#define LG_FTRACE_LOCK	   (LG_VARS + 0xc0u)
#define LG_FTRACE_OPS	   (LG_VARS + 0xe0u)
#define LG_FTRACE_END	   (LG_VARS + 0xe8u)
#define LG_FTRACE_PAGES	   (LG_VARS + 0xf0u)
#define LG_KPROBES	   (LG_VARS + 0x200u) /* 64 lists */
#define LG_VMCOREINFO_TEXT (LG_VARS + 0x800u)

/* Three keys; their sites are in the text from LG_SITES on, 16 bytes apart. */
#define LG_KEY_OFF   LG_KEYS		    /* count 0; nop5, nop2, jmp5 (branch), one init site */
#define LG_KEY_ON    (LG_KEYS + 0x10u)	    /* count 1; jmp5, jmp2, nop5 (branch) */
#define LG_KEY_MOD   (LG_KEYS + 0x20u)	    /* count 0; nop5; a module has a nop2, too */
#define LG_KEY_MODS  (LG_MODULES + 0x3000u) /* the module's own; count 1; jmp5 */
#define LG_SITES     0x1000u
#define LG_SITE(i)   (LG_SITES + 16u * (i))
#define LG_TARGET(i) (LG_SITE(i) + 12u)
#define LG_MOD_SITE  (LG_MODULES + 0x100u)
#define LG_MOD_SITE2 (LG_MODULES + 0x110u)
#define LG_MOD_NODES (LG_MODULES + 0x2000u)
#define LG_MOD_JUMPS (LG_MODULES + 0x1000u)
#define LG_ENTRIES   8u

/*
 * Who else writes into the text. Functions of 16 bytes from LG_FUNC(0) on begin with ftrace's nop,
 * those with an odd number behind an endbr64; the last one has no record. Records are in two pages:
 * four in the first. Two probes are in one list: at LG_PROBED and LG_PROBED + 0x40. A static call
 * at LG_CALL, a tail call by jcc at LG_CALL_JCC, a trampoline; the module has a call at
 * LG_MOD_CALL.
 */
#define LG_FUNC(i)	  (0x100u + 16u * (i))
#define LG_ENTRY(i)	  (LG_FUNC(i) + ((i) % 2 ? 4u : 0u))
#define LG_FUNCS	  9u
#define LG_PROBED	  0x400u
#define LG_CALL		  0x500u
#define LG_CALL_JCC	  0x510u
#define LG_TRAMPOLINE	  (LG_ENTRY_TEXT + 0x1000u)
#define LG_MOD_CALL	  (LG_MODULES + 0x120u)
#define LG_MOD_CALLS	  (LG_MODULES + 0x7000u)
#define LG_PAGE_STRUCTS	  (LG_DATA + 0x30000u) /* 32 bytes each */
#define LG_RECORDS	  (LG_DATA + 0x31000u) /* 16 bytes each; those of page 1 from 0x100 on */
#define LG_RECORD(i)	  (LG_RECORDS + ((i) < 4u ? 16u * (i) : 0x100u + 16u * ((i)-4u)))
#define LG_PROBE_STRUCT	  (LG_DATA + 0x32000u) /* 0x40 bytes each */
#define LG_CALLS	  (LG_DATA + 0x33000u)
#define LG_CALL_KEY	  (LG_DATA + 0x34000u)
#define LG_FTRACE_ENABLED 0x80000000u
#define LG_FTRACE_BITS                                                                          \
	{ "FTRACE_FL_DISABLED", 25 }, { "FTRACE_FL_IPMODIFY", 26 }, { "FTRACE_FL_DIRECT", 27 }, \
		{ "FTRACE_FL_TOUCHED", 20 },                                                    \
	{                                                                                       \
		"FTRACE_FL_MODIFIED", 19                                                        \
	}
#define LG_DISABLED 0x2000000u

/*
 * With opts.twins: the names of the functions LG_FUNC(0) to LG_FUNC(2) are "twin": two local ones,
 * then a global one.
 */
#define LG_TWINS 3u

/* What only start-up needs: a guest has freed it, a file has it (linux_file.h). */
#define LG_FENTRY    (LG_ENTRY_TEXT + 0x2000u)
#define LG_MCOUNT    (LG_DATA + 0x80000u) /* 8 bytes each; LG_FUNCS - 1 */
#define LG_ALTS	     (LG_DATA + 0x81000u) /* 12 or 14 bytes each; 84 bytes of them */
#define LG_ALTS_SIZE 84u
#define LG_PARAS     (LG_DATA + 0x82000u) /* 16 bytes each; one */
#define LG_CONSTS    (LG_DATA + 0x83000u) /* 4 bytes each; one */

/*
 * With opts.modules: alpha, whose memory is the pages above; beta, with LG_BETA; gamma, which is
 * still coming. Both the first have a symbol "shared". A struct module is 0x400 bytes after the one
 * before.
 */
#define LG_MODULE(i)	 (LG_MODULES + 0x4000u + 0x400u * (i))
#define LG_SYMTAB(i)	 (LG_MODULES + 0x6000u + 0x400u * (i))
#define LG_BETA		 (LG_MODULES + 0x8000u)
#define LG_BETA_STRINGS	 (LG_MODULES + 0x9000u)
#define LG_BETA_KALLSYMS (LG_MODULES + 0x9800u)	 /* alpha's and gamma's are in struct module */
#define LG_MODULES_END	 (LG_MODULES + 0x10000u) /* where alpha's names end, too */

/* In struct module, and struct mod_kallsyms. */
#define LG_M_STATE    0x00u
#define LG_M_LIST     0x08u
#define LG_M_NAME     0x18u
#define LG_M_KALLSYMS 0x60u
#define LG_M_CORE     0x68u /* a struct mod_kallsyms */
#define LG_M_JUMPS    0x90u
#define LG_M_NJUMPS   0x98u
#define LG_M_PIECES   0xa0u
#define LG_M_CALLS    0xd0u
#define LG_M_NCALLS   0xd8u
#define LG_M_SIZE     0xe0u
#define LG_K_SYMTAB   0x00u
#define LG_K_COUNT    0x08u
#define LG_K_STRTAB   0x10u
#define LG_K_SIZE     0x20u

enum lg_layout {
	LG_5_10, /* no seqs_of_names */
	LG_6_1,
	LG_6_4,	 /* offsets behind the tokens */
	LG_6_15, /* and no absolute per-CPU symbols */
	LG_7_0,	 /* place-relative, aligned to 4 */
	LG_LAYOUTS,
};

struct lg_opts {
	enum lg_layout layout;
	bool five_levels, pti, user_mode;
	uint64_t slide;
	bool text_symbols_only; /* no CONFIG_KALLSYMS_ALL */
	bool empty_tokens;	/* codes that no name uses */
	bool rt;
	bool writable_image; /* rodata=off */
	bool modules;
	bool core_layout; /* the memory of modules as before 6.4 */
	bool no_btf;
	bool twins; /* LG_TWINS */
};

/* Where the parts of kallsyms were written: offsets in the image. */
struct lg_places {
	uint32_t offsets, relative_base, num_syms, names, markers, token_table, token_index, end;
};

struct linux_guest {
	struct vp_target target; /* first */
	uint8_t *ram;
	struct lg_opts opts;
	uint64_t text; /* where _text is */
	struct lg_places at;
	size_t nsymbols; /* the kernel's own */
	uint32_t btf_len;
	struct vp_vcpu_state vcpus[2];
	unsigned int nvcpus;
	bool locked, held;
	unsigned long misses; /* reads of what is no RAM */
	unsigned long reads;
	uint64_t bytes_read;
	void (*on_read)(struct linux_guest *g); /* before each; NULL: nothing */
	unsigned long fail_at; /* the number of the read that fails, counted from 1; 0: none */
	bool fail_stays;       /* ... and so do all after it */
	int fail_with;	       /* -errno */
};

struct linux_guest *lg_new(const struct lg_opts *opts);
void lg_free(struct linux_guest *g);

/* The bytes at an address of the image or the module. */
uint8_t *lg_at(struct linux_guest *g, uint64_t gva);

/* The same by offset in the image; and a number there. */
uint8_t *lg_image(struct linux_guest *g, uint32_t off);
void lg_put(struct linux_guest *g, uint32_t off, uint64_t value, unsigned int bytes);
uint64_t lg_get(struct linux_guest *g, uint32_t off, unsigned int bytes);

/* A number at an address of the image or a module. */
void lg_set(struct linux_guest *g, uint64_t gva, uint64_t value, unsigned int bytes);

/* The symbol @i as kallsyms must tell it; its name is valid until the next call. */
void lg_symbol(const struct linux_guest *g, size_t i, struct vp_symbol *out);

extern const uint8_t lg_build_id[20];

#endif /* VP_TESTS_LINUX_BUILD_H */
