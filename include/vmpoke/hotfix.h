/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C source of a hotfix includes: it says what the object is and which functions of the
 * running kernel it replaces. It needs no other header, and makes no code: only notes in sections
 * that the linker of vmpoke reads and drops.
 *
 *	#include <vmpoke/hotfix.h>
 *
 *	static int fixed_arp_rcv(struct sk_buff *skb, struct net_device *dev) { ... }
 *
 *	VMPOKE_HOTFIX("arp-length", "1", "arp: check the length before the header is read");
 *	VMPOKE_FOR("6.1.0-56-amd64");
 *	VMPOKE_REPLACE(arp_rcv, fixed_arp_rcv);
 *
 * The object is a relocatable ELF64 file for x86-64. All numbers are little endian, all texts end
 * with a NUL and hold no control character. Unknown keys, kinds and flags are refused.
 *
 *   .vmpoke.info	texts "key=value", one after the other (empty ones are passed over):
 *			format=1	once
 *			name=		once, 1 to VMPOKE_NAME_MAX of A-Z a-z 0-9 . _ + -
 *			version=	once, likewise, VMPOKE_VERSION_MAX
 *			description=	once, one line of at most VMPOKE_DESCRIPTION_MAX bytes
 *			for=RELEASE	or for=build-id:HEX; once or more: any of them
 *   .vmpoke.strings	texts that the records point to
 *   .vmpoke.functions	struct vmpoke_function, one or more
 *   .vmpoke.symbols	struct vmpoke_symbol: how to tell apart what the code refers to
 *   .vmpoke.calls	struct vmpoke_call
 *   .vmpoke.uses	struct vmpoke_use: places in the kernel's code that VMPOKE_WHICH_USED speaks
 *of
 *
 * Pointers in records are relocations R_X86_64_64, without one they are NULL.
 */
#ifndef VMPOKE_HOTFIX_H
#define VMPOKE_HOTFIX_H

#define VMPOKE_FORMAT_TEXT "1"

/* Bytes without the NUL. */
#define VMPOKE_NAME_MAX	       63
#define VMPOKE_VERSION_MAX     31
#define VMPOKE_DESCRIPTION_MAX 255
#define VMPOKE_FOR_MAX	       64
#define VMPOKE_SYMBOL_MAX      511 /* as long as the kernel's own may be */
#define VMPOKE_WHERE_MAX       255

/* How many records. */
#define VMPOKE_FOR_COUNT      64
#define VMPOKE_FUNCTION_COUNT 256
#define VMPOKE_LOCAL_COUNT    4096
#define VMPOKE_CALL_COUNT     32
#define VMPOKE_USE_COUNT      1024

/* Which of several symbols of one name is meant. */
enum vmpoke_which {
	VMPOKE_WHICH_ONLY = 0,	 /* there is one only; else the hotfix is refused */
	VMPOKE_WHICH_FILE = 1,	 /* where: its source file, from the kernel's top folder */
	VMPOKE_WHICH_NTH = 2,	 /* number: 1 for the lowest address, 2 for the next ... */
	VMPOKE_WHICH_BESIDE = 3, /* where: a symbol that stands right before or behind it */
	VMPOKE_WHICH_MODULE = 4, /* where: the module that it belongs to */
	VMPOKE_WHICH_GLOBAL = 5, /* the kernel's global one, which is no module's and no static */
	VMPOKE_WHICH_CODE = 6,	 /* of functions: the only one with the code `expected` */
	VMPOKE_WHICH_USED = 7,	 /* number: of the vmpoke_use, from 1, whose place leads there */
};

/*
 * CODE and USED: where: the module that it belongs to, or NULL: the kernel itself. Where one symbol
 * only has the name there it is that one; else code of the guest is read, and no more than one may
 * fit.
 */

struct vmpoke_function {
	const void *replacement; /* a function of this object */
	const char *name;	 /* the kernel's */
	const char *where;	 /* as `which` says, or NULL */
	unsigned long long which;
	unsigned long long number;
	unsigned long long flags;   /* none are defined: 0 */
	unsigned char expected[32]; /* digest of the code that is replaced; zeroes: not told */
};

struct vmpoke_symbol {
	const char *name; /* undefined in this object */
	const char *where;
	unsigned long long which;
	unsigned long long number;
};

/*
 * A field of an instruction of the kernel's function @name, which leads to the symbol: at @offset
 * of the code, of @type, with @addend, as a relocation of the kernel's own build has it. The
 * function must have the code @expected; which is ONLY, GLOBAL, MODULE or CODE.
 */
struct vmpoke_use {
	const char *name;
	const char *where; /* as `which` says, or NULL */
	unsigned long long which;
	unsigned long long offset;
	unsigned long long type; /* R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_32S or R_X86_64_64 */
	long long addend;
	unsigned char expected[32]; /* digest of the function's code */
};

enum vmpoke_when {
	VMPOKE_WHEN_BEFORE_APPLY = 1,
	VMPOKE_WHEN_AFTER_APPLY = 2,
	VMPOKE_WHEN_BEFORE_REMOVE = 3,
	VMPOKE_WHEN_AFTER_REMOVE = 4,
};

struct vmpoke_call {
	const void *function; /* int f(void): of this object, or of the kernel */
	unsigned long long when;
	unsigned long long order; /* of several at one moment: the smaller first; each its own */
	unsigned long long flags; /* none are defined: 0 */
};

/*
 * Say once what this is. Texts: a name without spaces, a version, one line of description.
 */
#define VMPOKE_HOTFIX(hotfix_name, hotfix_version, text)   \
	VMPOKE_PRIVATE_INFO("format=" VMPOKE_FORMAT_TEXT); \
	VMPOKE_PRIVATE_INFO("name=" hotfix_name);          \
	VMPOKE_PRIVATE_INFO("version=" hotfix_version);    \
	VMPOKE_PRIVATE_INFO("description=" text)

/* The kernels that it is for: `uname -r`, or the build-id in hexadecimal. One or more. */
#define VMPOKE_FOR(release)	    VMPOKE_PRIVATE_INFO("for=" release)
#define VMPOKE_FOR_BUILD_ID(digits) VMPOKE_PRIVATE_INFO("for=build-id:" digits)

/*
 * Replace the kernel's function @old by @new_function of this source. Write @old as kallsyms has
 * it; foo.isra.0 is fine, without a space that a formatter may put there. If several functions have
 * that name, say which one is meant: by its source file, by its place among them in order of
 * address (from 1), by the symbol right before or behind it, by its module; or that it is the
 * kernel's global one.
 */
#define VMPOKE_REPLACE(old, new_function) \
	VMPOKE_PRIVATE_FUNCTION(#old, new_function, "", VMPOKE_WHICH_ONLY, 0)
#define VMPOKE_REPLACE_IN(file, old, new_function) \
	VMPOKE_PRIVATE_FUNCTION(#old, new_function, file, VMPOKE_WHICH_FILE, 0)
#define VMPOKE_REPLACE_NTH(nth, old, new_function) \
	VMPOKE_PRIVATE_FUNCTION(#old, new_function, "", VMPOKE_WHICH_NTH, nth)
#define VMPOKE_REPLACE_BESIDE(neighbour, old, new_function) \
	VMPOKE_PRIVATE_FUNCTION(#old, new_function, #neighbour, VMPOKE_WHICH_BESIDE, 0)
#define VMPOKE_REPLACE_OF(module_name, old, new_function) \
	VMPOKE_PRIVATE_FUNCTION(#old, new_function, module_name, VMPOKE_WHICH_MODULE, 0)
#define VMPOKE_REPLACE_GLOBAL(old, new_function) \
	VMPOKE_PRIVATE_FUNCTION(#old, new_function, "", VMPOKE_WHICH_GLOBAL, 0)

/*
 * The code refers to @symbol, declared `extern` here, whose name several symbols of the kernel
 * have (local ones, mostly): say which is meant.
 */
#define VMPOKE_SYMBOL_IN(file, symbol) VMPOKE_PRIVATE_SYMBOL(#symbol, file, VMPOKE_WHICH_FILE, 0)
#define VMPOKE_SYMBOL_NTH(nth, symbol) VMPOKE_PRIVATE_SYMBOL(#symbol, "", VMPOKE_WHICH_NTH, nth)
#define VMPOKE_SYMBOL_BESIDE(neighbour, symbol) \
	VMPOKE_PRIVATE_SYMBOL(#symbol, #neighbour, VMPOKE_WHICH_BESIDE, 0)
#define VMPOKE_SYMBOL_OF(module_name, symbol) \
	VMPOKE_PRIVATE_SYMBOL(#symbol, module_name, VMPOKE_WHICH_MODULE, 0)
#define VMPOKE_SYMBOL_GLOBAL(symbol) VMPOKE_PRIVATE_SYMBOL(#symbol, "", VMPOKE_WHICH_GLOBAL, 0)

/*
 * int @function(void), of this source or of the kernel, is called in a task of the guest: once the
 * new code is in memory and before anything calls it; when all calls go there; before they go back;
 * when nobody is in the new code any more. Several are called in the order of the source. Before:
 * anything but 0 refuses the step.
 */
#define VMPOKE_BEFORE_APPLY(function)  VMPOKE_PRIVATE_CALL(function, VMPOKE_WHEN_BEFORE_APPLY)
#define VMPOKE_AFTER_APPLY(function)   VMPOKE_PRIVATE_CALL(function, VMPOKE_WHEN_AFTER_APPLY)
#define VMPOKE_BEFORE_REMOVE(function) VMPOKE_PRIVATE_CALL(function, VMPOKE_WHEN_BEFORE_REMOVE)
#define VMPOKE_AFTER_REMOVE(function)  VMPOKE_PRIVATE_CALL(function, VMPOKE_WHEN_AFTER_REMOVE)

/* --- not for use -------------------------------------------------------------------- */

#define VMPOKE_PRIVATE_JOIN2(a, b) a##b
#define VMPOKE_PRIVATE_JOIN(a, b)  VMPOKE_PRIVATE_JOIN2(a, b)
/* aligned: or the compiler would leave gaps between the records. */
#define VMPOKE_PRIVATE_IN(section_name, alignment) \
	__attribute__((used, section(section_name), aligned(alignment)))

#define VMPOKE_PRIVATE_INFO(text)                                                             \
	static const char VMPOKE_PRIVATE_JOIN(vmpoke_info_, __COUNTER__)[] VMPOKE_PRIVATE_IN( \
		".vmpoke.info", 1) = text

#define VMPOKE_PRIVATE_TEXT(id, text) \
	static const char id[] VMPOKE_PRIVATE_IN(".vmpoke.strings", 1) = text

#define VMPOKE_PRIVATE_FUNCTION(old, new_function, place, kind, nth) \
	VMPOKE_PRIVATE_FUNCTION2(__COUNTER__, old, new_function, place, kind, nth)
#define VMPOKE_PRIVATE_FUNCTION2(n, old, new_function, place, kind, nth) \
	VMPOKE_PRIVATE_FUNCTION3(n, old, new_function, place, kind, nth)
#define VMPOKE_PRIVATE_FUNCTION3(n, old, new_function, place, kind, nth)                         \
	VMPOKE_PRIVATE_TEXT(vmpoke_name_##n, old);                                               \
	VMPOKE_PRIVATE_TEXT(vmpoke_where_##n, place);                                            \
	static const struct vmpoke_function vmpoke_function_##n VMPOKE_PRIVATE_IN(               \
		".vmpoke.functions", 8) = { (const void *)(new_function),                        \
					    vmpoke_name_##n,                                     \
					    sizeof(vmpoke_where_##n) > 1 ? vmpoke_where_##n : 0, \
					    kind,                                                \
					    nth,                                                 \
					    0,                                                   \
					    { 0 } }

#define VMPOKE_PRIVATE_SYMBOL(symbol, place, kind, nth) \
	VMPOKE_PRIVATE_SYMBOL2(__COUNTER__, symbol, place, kind, nth)
#define VMPOKE_PRIVATE_SYMBOL2(n, symbol, place, kind, nth) \
	VMPOKE_PRIVATE_SYMBOL3(n, symbol, place, kind, nth)
#define VMPOKE_PRIVATE_SYMBOL3(n, symbol, place, kind, nth)                                      \
	VMPOKE_PRIVATE_TEXT(vmpoke_name_##n, symbol);                                            \
	VMPOKE_PRIVATE_TEXT(vmpoke_where_##n, place);                                            \
	static const struct vmpoke_symbol vmpoke_symbol_##n VMPOKE_PRIVATE_IN(".vmpoke.symbols", \
									      8) = {             \
		vmpoke_name_##n, sizeof(vmpoke_where_##n) > 1 ? vmpoke_where_##n : 0, kind, nth  \
	}

#define VMPOKE_PRIVATE_CALL(call, moment)     VMPOKE_PRIVATE_CALL2(__COUNTER__, call, moment)
#define VMPOKE_PRIVATE_CALL2(n, call, moment) VMPOKE_PRIVATE_CALL3(n, call, moment)
#define VMPOKE_PRIVATE_CALL3(n, call, moment)                              \
	static const struct vmpoke_call vmpoke_call_##n VMPOKE_PRIVATE_IN( \
		".vmpoke.calls", 8) = { (const void *)(call), moment, n, 0 }

#endif /* VMPOKE_HOTFIX_H */
