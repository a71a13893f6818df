/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where this kernel keeps what in its structures, by its own type information (BTF,
 * Documentation/bpf/btf.rst). Pure: bytes in, offsets out.
 */
#ifndef VP_LINUX_MODULE_LAYOUT_H
#define VP_LINUX_MODULE_LAYOUT_H

#include "linux/blob.h"

/* Debian's kernels have 4 to 6 MB. */
#define VP_BTF_MAX ((size_t)64 << 20)

#define VP_MODULE_MAX	     0x4000u /* bytes of struct module, which has 900 to 1400 */
#define VP_MODULE_PIECES_MAX 16u

#define VP_TASK_MAX	 0x8000u /* bytes of struct task_struct that are read, at most */
#define VP_CPU_WORDS_MAX 64u	 /* of capabilities; there are 20 to 25 */

/*
 * Who else writes into the kernel's text: in structures of ftrace, kprobes, static calls. A size of
 * 0: this kernel is built without.
 */
struct vp_owner_layout {
	uint32_t known; /* 0: its type information could not be read, the rest says nothing */
	uint32_t page_size, page_next, page_records, page_index; /* struct ftrace_page */
	uint32_t rec_size, rec_ip, rec_flags;			 /* struct dyn_ftrace */
	/* FTRACE_FL_*: bits of its flags; 0: there is none of that name. */
	uint32_t fl_disabled, fl_touched, fl_modified, fl_ipmodify, fl_direct;
	uint32_t probe_size, probe_hlist, probe_addr;	  /* struct kprobe */
	uint32_t calls_known, call_sites, num_call_sites; /* static calls, in struct module */
};

/*
 * Tasks and their stacks. Offsets are in struct task_struct, but where another is named; 0 of those
 * that may be missing: this kernel has none.
 */
struct vp_task_layout {
	uint32_t known;	   /* 0: the rest says nothing */
	uint32_t low, end; /* the part of it that has all these */
	uint32_t tasks, thread_node, signal, pid, comm, stack, on_cpu, sp;
	uint32_t on_cpu_size;  /* 4; 1 since 7.0 or so */
	uint32_t prio, policy; /* 0: not known; not in what [low, end) covers */
	uint32_t thread_head;  /* in struct signal_struct */
	/* Return addresses kept elsewhere: of function-graph tracing, kretprobes, rethooks. */
	uint32_t ret_stack, ret_depth, ret_entry; /* ret_entry: size; 8: of the words since 6.12 */
	uint32_t kretprobes, rethooks;
	uint32_t hot_irq_stack, has_hot; /* in struct pcpu_hot, which only some kernels have */
};

/* What struct cpuinfo_x86 says of capabilities: words of 32 bits, those of bugs behind them. */
struct vp_cpu_layout {
	uint32_t caps, words, cap_words; /* cap_words: NCAPINTS; 0: unknown */
};

/* In struct module, but where another is named. */
struct vp_module_layout {
	uint32_t size; /* 0: unknown, the rest says nothing */
	uint32_t list, state, name, name_size, kallsyms;
	uint32_t symtab, num_symtab, strtab; /* in struct mod_kallsyms */
	/* Its pieces of memory (struct module_memory, before 6.4 one struct module_layout). */
	uint32_t pieces, npieces, piece_size;
	uint32_t piece_base, piece_len;	  /* in a piece */
	uint32_t jump_entries, num_jumps; /* both 0: without CONFIG_JUMP_LABEL */
};

/* Values of enum execmem_type (include/linux/execmem.h, from 6.10 on). */
struct vp_execmem_layout {
	uint32_t known; /* 0: this kernel has no such enum */
	uint32_t text, data;
};

/*
 * Livepatches (include/linux/livepatch.h): what a module says, and the kernel keeps. callbacks_size
 * is of what is called.
 */
struct vp_klp_layout {
	uint32_t func_size; /* 0: unknown, the rest says nothing */
	uint32_t func_name, func_new, func_sympos;
	uint32_t obj_size, obj_name, obj_funcs, obj_callbacks, callbacks_size;
	uint32_t patch_size, patch_mod, patch_objs;
	uint32_t patch_states; /* 0: this kernel has none */
	/* Its lists of those that are there. */
	uint32_t lists_known, patch_list, patch_enabled, patch_obj_list, obj_node, obj_func_list;
	uint32_t func_node, func_old;
};

/* All that is looked for. Any may be unknown for itself. */
struct vp_layouts {
	struct vp_module_layout modules;
	struct vp_owner_layout owners;
	struct vp_execmem_layout execmem;
	struct vp_task_layout tasks;
	struct vp_cpu_layout cpu;
	struct vp_klp_layout klp;
};

/* -ENOENT: @btf is damaged. -ENOMEM. @out is untouched then. */
int vp_layouts_find(const struct vp_blob *btf, struct vp_layouts *out, struct vp_err *err);

#endif /* VP_LINUX_MODULE_LAYOUT_H */
