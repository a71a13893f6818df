/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be known of a Linux guest from its memory alone: where the kernel is, which one it is,
 * its symbols and its static keys. Nothing is ever written by this module.
 *
 * The guest is not trusted: whatever its memory says is checked, bounded, and refused with one
 * line of text if it makes no sense. See docs/linux.md for the structures and their sources.
 *
 * Threads: one vp_linux may be used by one thread at a time.
 */
#ifndef VMPOKE_LINUX_H
#define VMPOKE_LINUX_H

#include <vmpoke/poke.h>
#include <vmpoke/symbol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vp_linux;

struct vp_linux_opts {
	/* A vmlinux, bzImage or System.map that must agree with the memory; NULL: none. */
	const char *kernel_file;
};

struct vp_linux_kernel {
	const char *release;	    /* "6.1.0-50-amd64" */
	const char *banner;	    /* "Linux version ..." without its line end */
	const char *build_id;	    /* lower-case hex; "" if the kernel carries none */
	vp_gva text;		    /* where _text is now */
	uint64_t kaslr_slide;	    /* from the address it was linked for; 0 without KASLR */
	vp_gva end;		    /* of its image */
	vp_gpa text_phys;	    /* where _text is in guest-physical memory */
	uint64_t phys_base;	    /* the kernel's variable of that name */
	unsigned int paging_levels; /* 4 or 5 */
	bool pti;		    /* page-table isolation is on */
	/* Differs from boot to boot where KASLR is on: a digest of the randomised bases. */
	uint64_t boot;
	/* Page tables that map all kernel text, whatever the vCPUs do at the moment. */
	struct vp_paging space;
};

/*
 * Look at @t (borrowed; must outlive the result). Takes the target's lock for a moment, and holds
 * single vCPUs; the memory is read while the guest runs.
 *  -ENOENT      the guest runs no Linux that we recognise (or has not booted so far)
 *  -EBADMSG     what should be the kernel's tables makes no sense
 *  -ESTALE      @opts->kernel_file is of another kernel
 *  -ENOEXEC     @opts->kernel_file is no vmlinux, bzImage or System.map, or damaged
 *  others       as the target's operations
 */
int vp_linux_open(struct vp_target *t, const struct vp_linux_opts *opts, struct vp_linux **out,
		  struct vp_err *err);
void vp_linux_free(struct vp_linux *l);

/*
 * Which kernel it is, and its symbols. Owned by @l, as all its texts are. The symbols are the
 * kernel's own, and those of the modules that were loaded when they were read last, if the kernel
 * has the type information (BTF) to find them. A module's is found by "module:symbol", too. Per-CPU
 * symbols have small addresses.
 */
const struct vp_linux_kernel *vp_linux_info(const struct vp_linux *l);
const struct vp_symtab *vp_linux_symbols(const struct vp_linux *l);

/*
 * The nearest symbol at or below @addr in the same piece of memory (the image, a module's text, a
 * module's data), and the distance (@offset may be NULL); or NULL.
 */
const char *vp_linux_nearest(const struct vp_linux *l, vp_gva addr, uint64_t *offset);

/*
 * The module that has @addr in one of its pieces of memory, and where its struct module is, which
 * tells it from one of that name that was loaded later; NULL: none, as far as the modules are
 * known. The name is valid until the next vp_linux_refresh(). How many modules are known: 0 also if
 * the kernel's type information does not tell how to find them.
 */
const char *vp_linux_module_of(const struct vp_linux *l, vp_gva addr, uint64_t *at);
size_t vp_linux_module_count(const struct vp_linux *l);

/*
 * Read the modules' symbols again if modules came or went since: one read a module if not. What
 * vp_linux_symbols() gave is gone then. -ENOMEM, or as the target's operations; all is as it was.
 */
int vp_linux_refresh(struct vp_linux *l, struct vp_err *err);

/* Read kernel memory by kernel address. -EFAULT. */
int vp_linux_read(struct vp_linux *l, vp_gva addr, void *buf, size_t len, struct vp_err *err);

/* Is @addr mapped such that the kernel's code may run there? As the target's operations. */
int vp_linux_is_code(const struct vp_linux *l, vp_gva addr, bool *code, struct vp_err *err);

/* --- who else changes the text --------------------------------------------------- */

/* What a poke into the kernel's text needs besides its sites. */
struct vp_linux_care {
	struct vp_word *words; /* vp_poke_opts.words; they change and hold for the revert, too */
	size_t nwords;
	bool stop;	      /* they are right with VP_STRATEGY_STOP only */
	struct vp_err forced; /* what was passed over by force; "": nothing */
};

/*
 * Before a poke: does the guest itself change these bytes? Asked are its static keys, static
 * calls, kprobes and ftrace, modules' included; docs/linux.md, "Owners". Over the nop of a
 * function's entry, which is ftrace's, the words take the function from it, and the revert gives it
 * back. Sites in user space are nobody's. With @force what has an owner, or may have one, is no
 * error. Nothing is written.
 *  -EBUSY       somebody else changes them: @err says who, and what to do instead
 *  -EOPNOTSUPP  that cannot be told of this kernel
 *  -EAGAIN      the guest is at work there just now, or ftrace is in use
 *  -EBADMSG     what should be the kernel's tables makes no sense
 */
int vp_linux_poke_plan(struct vp_linux *l, const struct vp_site *sites, size_t n, bool force,
		       struct vp_linux_care *out, struct vp_err *err);

/*
 * As vp_linux_poke_plan(), for entries of functions: where a site puts ftrace's nop back, the words
 * also give the function back to ftrace.
 */
int vp_linux_redirect_plan(struct vp_linux *l, const struct vp_site *sites, size_t n, bool force,
			   struct vp_linux_care *out, struct vp_err *err);
void vp_linux_care_free(struct vp_linux_care *care);

/* --- functions, and what the linker must know ---------------------------------------- */

/* A piece of text. */
struct vp_linux_range {
	vp_gva start;
	uint64_t len;
};

/*
 * All code in the modules' part of the address space that is neither the image's nor a module's, by
 * the page tables: BPF programs, trampolines, hotfixes. @out (for free(); NULL if there is none) is
 * of whole pages, ascending, and not touching. The modules are those that were read last.
 * -E2BIG: there is more than 256 MB of it. -ENOMEM, or as the target's operations.
 */
int vp_linux_code_outside(struct vp_linux *l, struct vp_linux_range **out, size_t *n,
			  struct vp_err *err);

struct vp_linux_ranges {
	const struct vp_linux_range *list;
	size_t n;
};

#define VP_LINUX_COLD_MAX 8

/* A function of the kernel or of a module, and where it can be redirected. */
struct vp_linux_function {
	vp_gva start;
	uint64_t len; /* up to the next symbol */
	size_t count; /* how many symbols have this name */
	vp_gva site;  /* of the 5 bytes of ftrace's nop, at its start or behind an endbr64 */
	uint8_t old_bytes[5];
	/* Those of the name "function.cold", whoseever they are: parts of it, out of line. */
	struct vp_linux_range cold[VP_LINUX_COLD_MAX];
	size_t ncold;
};

/*
 * Find a function, and whether its entry can be redirected now. Of several with one name @which
 * (from 1 on) takes one, in the order of their addresses in the kernel, as livepatch counts (its
 * sympos); 0: it must be the only one. "module:name" finds one of a module. A jmp at the entry that
 * leads into one of the ranges of @known (NULL: none) is as good as the nop: it is one of ours, and
 * its bytes are old_bytes then. Nothing is written.
 *  -ENOENT      there is none, or no such one of them
 *  -EEXIST      several have the name and @which is 0: @err says how many
 * With @out filled, so that the caller may know more than we do:
 *  -EBUSY       the entry has no nop, or somebody owns it: a tracer, a kprobe, a livepatch, ftrace
 *               has no record or has disabled it; or a kprobe is inside the function
 *  -EAGAIN, -EOPNOTSUPP, -EBADMSG   as vp_linux_poke_plan()
 */
int vp_linux_function_find(struct vp_linux *l, const char *name, unsigned int which,
			   const struct vp_linux_ranges *known, struct vp_linux_function *out,
			   struct vp_err *err);

#define VP_LINUX_CAPS_MAX 64

/* What this guest's kernel has made of its text for the CPU it runs on. */
struct vp_linux_features {
	/*
	 * boot_cpu_data.x86_capability: the bit 32 * word + n is what alternatives ask for. Words
	 * from ncaps (NCAPINTS) on are those of bugs.
	 */
	uint32_t words[VP_LINUX_CAPS_MAX];
	unsigned int nwords, ncaps;
	vp_gva return_thunk; /* where returns of this kernel go; 0: plain ret */
	bool call_depth;     /* calls are counted (call thunks) */
	bool ibt;	     /* indirect branches must lead to an endbr64 */
	bool cfi;	     /* built with kCFI or FineIBT: hotfixes are refused for now */
};

/* Read them. -EOPNOTSUPP: this kernel's symbols or type information do not tell. -EBADMSG. */
int vp_linux_features_read(struct vp_linux *l, struct vp_linux_features *out, struct vp_err *err);

/*
 * The count of the static key at @addr, and whether it is sealed: in memory that the kernel has
 * made read-only after boot, so that it never changes. -EFAULT.
 */
int vp_linux_key_count(struct vp_linux *l, vp_gva addr, int32_t *count, bool *sealed,
		       struct vp_err *err);

/* --- who is inside a function ------------------------------------------------------ */

/* Who is inside. */
struct vp_linux_blocker {
	vp_gva task;	 /* its struct task_struct; 0: it is not known whose stack that is */
	int32_t pid;	 /* 0: an idle task, or the task is not known */
	char comm[17];	 /* printable */
	int vcpu;	 /* whose registers or interrupt stack it is; -1: the stack of a task */
	vp_gva addr;	 /* where it is, or will return to */
	char where[128]; /* the same as "function+0x12" */
};

struct vp_linux_inside;

/*
 * Prepare to look who is inside of @n ranges (copied) of the kernel's text; who stands at the first
 * byte of one has run nothing of it, and is not. (The range of a function begins at its site: an
 * address before is that of its endbr64, from where the new code is reached.) Looked at are: every
 * word of every task's stack that is in use, the registers of the vCPUs, their interrupt stacks,
 * the return addresses that function-graph tracing keeps. What a stack holds by chance counts, too:
 * the answer may be "somebody" where it is nobody, never the reverse. The guest runs; all tasks are
 * read, so that the look in a stop is short. For the moment, not for later: prepare, look, free.
 *  -EOPNOTSUPP  this kernel's symbols or type information do not tell where its tasks are
 *  -EAGAIN      its list of tasks changes all the time, or makes no sense
 *  -EINVAL      no ranges, or an empty one
 *  -E2BIG, -ENOMEM, or as the target's operations
 */
int vp_linux_inside_new(struct vp_linux *l, const struct vp_linux_range *ranges, size_t n,
			struct vp_linux_inside **out, struct vp_err *err);
void vp_linux_inside_free(struct vp_linux_inside *in);

/*
 * What the tasks said when they were read: the running ones cannot be asked. A cheap look before,
 * that proves nothing. Returns as vp_linux_inside_held().
 */
int vp_linux_inside_guess(struct vp_linux_inside *in, struct vp_linux_blocker *who,
			  struct vp_err *err);

/*
 * The exact look: the target is locked, and every vCPU held, between its stop() and resume()
 * (vp_poke_opts.inspect).
 *  0            nobody is inside
 *  -EBUSY       @who (may be NULL) is, and @err says so; or somebody's return addresses are kept
 *               where they cannot be read (a kretprobe), and @who->addr is 0
 *  -EAGAIN      a vCPU is amid an exception or a switch of tasks, so that its stack cannot be told:
 *               let the guest run, and try again
 *  others       as above
 */
int vp_linux_inside_held(struct vp_linux_inside *in, struct vp_linux_blocker *who,
			 struct vp_err *err);

/* What the last look read of the target: how many reads, and bytes; and how many tasks there are.
 */
struct vp_linux_cost {
	size_t tasks, reads, bytes;
};
struct vp_linux_cost vp_linux_inside_cost(const struct vp_linux_inside *in);

/* --- static keys (S7) ---------------------------------------------------------- */

struct vp_linux_key {
	const char *name; /* of the symbol at addr, or the nearest with an offset */
	vp_gva addr;	  /* of struct static_key */
	int32_t enabled;
	size_t sites;	   /* that can be switched now, modules' included */
	size_t init_sites; /* in memory that was freed after boot */
	/*
	 * NULL if every live site is as (enabled > 0) XOR branch says; else why the key is not to
	 * be touched. Valid until the next call.
	 */
	const char *broken;
};

/*
 * Call @fn for each of the kernel's keys, by address, then for those of its modules, until it
 * returns non-zero; return that. Refreshes first: vp_linux_refresh().
 *  -ENOENT   no CONFIG_JUMP_LABEL, or the kernel's symbols are those of its text only
 *  -EBADMSG  its jump table makes no sense
 */
int vp_linux_keys(struct vp_linux *l, int (*fn)(void *arg, const struct vp_linux_key *key),
		  void *arg, struct vp_err *err);

/* The key whose struct is at @addr; it may be a module's. -ENOENT: no key is there. */
int vp_linux_key_at(struct vp_linux *l, vp_gva addr, struct vp_linux_key *out, struct vp_err *err);

/* What switches a key: all its live sites, and its count. */
struct vp_linux_flip {
	struct vp_site *sites; /* by address; NULL and 0 if the key is as wanted already */
	size_t nsites;
	struct vp_word
		*words; /* vp_poke_opts.words: the count, and that the guest's locks are free */
	size_t nwords;
};

/*
 * Plan the switch of a key. Nothing is written: give the result to vp_poke().
 *  -ENOENT no key is there
 *  -EBUSY  it is broken, or in transition, or held by more than one user, or has no live site
 *  -EAGAIN the guest is patching itself now
 */
int vp_linux_key_plan(struct vp_linux *l, vp_gva addr, bool on, struct vp_linux_flip *out,
		      struct vp_err *err);
void vp_linux_flip_free(struct vp_linux_flip *flip);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_LINUX_H */
