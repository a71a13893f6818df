/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libbpf reads the BTF; the only place that includes it. It checks that each type and the texts lie
 * within the data. What it does not check is checked here: the byte order, that the types are
 * aligned, and whatever a member says of itself. Numbers of types and offsets of names it checks
 * when they are asked for.
 */
#include "linux/module_layout.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>

/* struct btf_header: magic u16, version u8, flags u8, hdr_len u32, ... */
#define HDR_LEN 4u

/* Members of structures without a name are found, too, as in C; they nest no deeper. */
#define NESTED_MAX 4u

/* A member without a name that is itself a structure or a union: that; or NULL. */
static const struct btf_type *nameless(const struct btf *btf, const struct btf_member *m)
{
	const char *s = btf__name_by_offset(btf, m->name_off);
	const struct btf_type *t;

	if (s && *s)
		return NULL;
	t = btf__type_by_id(btf, m->type);
	return t && btf_is_composite(t) ? t : NULL;
}

/*
 * A member of @t, which is at @base, and its type. False: there is none of that name, of @size
 * bytes, within @t.
 */
static bool find_nested(const struct btf *btf, const struct btf_type *t, const char *name,
			int64_t size, uint32_t base, unsigned int depth, uint32_t *off,
			uint32_t *type)
{
	const struct btf_member *m = btf_members(t);

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const char *s = btf__name_by_offset(btf, m[i].name_off);
		const struct btf_type *in = nameless(btf, &m[i]);
		uint32_t bit = btf_member_bit_offset(t, i);
		int64_t len;

		if (in && depth && bit % 8 == 0 && bit / 8 <= t->size && in->size <= t->size &&
		    find_nested(btf, in, name, size, base + bit / 8, depth - 1, off, type))
			return true;
		if (!s || strcmp(s, name))
			continue;
		len = btf__resolve_size(btf, m[i].type);
		if (len <= 0 || (size && len != size) || bit % 8 ||
		    btf_member_bitfield_size(t, i) || bit / 8 + (uint64_t)len > t->size)
			return false;
		*off = base + bit / 8;
		*type = m[i].type;
		return true;
	}
	return false;
}

static bool find_member(const struct btf *btf, const struct btf_type *t, const char *name,
			int64_t size, uint32_t *off, uint32_t *type)
{
	return find_nested(btf, t, name, size, 0, NESTED_MAX, off, type);
}

static bool member(const struct btf *btf, const struct btf_type *t, const char *name, int64_t size,
		   uint32_t *off)
{
	uint32_t type;

	return find_member(btf, t, name, size, off, &type);
}

static const struct btf_type *find_struct(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

/* Since 6.4 an array; before, one struct. Symbols can be had without. */
static void find_pieces(const struct btf *btf, const struct btf_type *module,
			struct vp_module_layout *l)
{
	const struct btf_type *t;
	uint32_t type, count = 1;

	if (find_member(btf, module, "mem", 0, &l->pieces, &type)) {
		t = btf__type_by_id(btf, type);
		if (!t || !btf_is_array(t))
			return;
		count = btf_array(t)->nelems;
		type = btf_array(t)->type;
	} else if (!find_member(btf, module, "core_layout", 0, &l->pieces, &type)) {
		return;
	}
	t = btf__type_by_id(btf, type);
	if (!t || !btf_is_struct(t) || !member(btf, t, "base", 8, &l->piece_base) ||
	    !member(btf, t, "size", 4, &l->piece_len))
		return;
	l->piece_size = t->size;
	l->npieces = count < VP_MODULE_PIECES_MAX ? count : VP_MODULE_PIECES_MAX;
}

static void find_modules(const struct btf *btf, struct vp_module_layout *out)
{
	const struct btf_type *module = find_struct(btf, "module");
	const struct btf_type *kallsyms = find_struct(btf, "mod_kallsyms");
	struct vp_module_layout l = { 0 };
	uint32_t type;
	int64_t size;

	if (!module || !kallsyms || module->size > VP_MODULE_MAX ||
	    !member(btf, module, "list", 16, &l.list) ||
	    !member(btf, module, "state", 4, &l.state) ||
	    !find_member(btf, module, "name", 0, &l.name, &type) ||
	    !member(btf, module, "kallsyms", 8, &l.kallsyms) ||
	    !member(btf, kallsyms, "symtab", 8, &l.symtab) ||
	    !member(btf, kallsyms, "num_symtab", 4, &l.num_symtab) ||
	    !member(btf, kallsyms, "strtab", 8, &l.strtab))
		return;
	size = btf__resolve_size(btf, type);
	l.name_size = (uint32_t)size;
	find_pieces(btf, module, &l);
	if (!member(btf, module, "jump_entries", 8, &l.jump_entries) ||
	    !member(btf, module, "num_jump_entries", 4, &l.num_jumps))
		l.jump_entries = l.num_jumps = 0;
	l.size = module->size;
	*out = l;
}

/* --- who else writes into text -------------------------------------------------- */

/* One value of an enum; where it is a bit of ours, note it. */
static void take_flag(const struct btf *btf, uint32_t name_off, uint64_t value,
		      struct vp_owner_layout *l)
{
	const struct {
		const char *name;
		uint32_t *to;
	} flags[] = {
		{ "FTRACE_FL_DISABLED", &l->fl_disabled },
		{ "FTRACE_FL_TOUCHED", &l->fl_touched },
		{ "FTRACE_FL_MODIFIED", &l->fl_modified },
		{ "FTRACE_FL_IPMODIFY", &l->fl_ipmodify },
		{ "FTRACE_FL_DIRECT", &l->fl_direct },
	};
	const char *s = btf__name_by_offset(btf, name_off);

	if (!s || strncmp(s, "FTRACE_FL_", 10) || value > UINT32_MAX || value & (value - 1))
		return;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(s, flags[i].name))
			*flags[i].to = (uint32_t)value;
}

/* They are of an enum without a name. */
static void find_flags(const struct btf *btf, struct vp_owner_layout *l)
{
	uint32_t types = btf__type_cnt(btf);

	for (uint32_t id = 1; id < types; id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		for (uint32_t i = 0; btf_is_enum(t) && i < btf_vlen(t); i++)
			take_flag(btf, btf_enum(t)[i].name_off, (uint32_t)btf_enum(t)[i].val, l);
		for (uint32_t i = 0; btf_is_enum64(t) && i < btf_vlen(t); i++)
			take_flag(btf, btf_enum64(t)[i].name_off,
				  btf_enum64_value(&btf_enum64(t)[i]), l);
	}
}

/* A structure that is there, but not as we know it, makes all of it unknown. */
static bool find_ftrace(const struct btf *btf, struct vp_owner_layout *l)
{
	const struct btf_type *rec = find_struct(btf, "dyn_ftrace");
	const struct btf_type *page = find_struct(btf, "ftrace_page");

	if (!rec)
		return true;
	if (!page || !member(btf, rec, "ip", 8, &l->rec_ip) ||
	    !member(btf, rec, "flags", 8, &l->rec_flags) ||
	    !member(btf, page, "next", 8, &l->page_next) ||
	    !member(btf, page, "records", 8, &l->page_records) ||
	    !member(btf, page, "index", 4, &l->page_index))
		return false;
	find_flags(btf, l);
	l->rec_size = rec->size;
	l->page_size = page->size;
	return l->fl_disabled;
}

static bool find_probes(const struct btf *btf, struct vp_owner_layout *l)
{
	const struct btf_type *probe = find_struct(btf, "kprobe");

	if (!probe)
		return true;
	if (!member(btf, probe, "hlist", 16, &l->probe_hlist) ||
	    !member(btf, probe, "addr", 8, &l->probe_addr))
		return false;
	l->probe_size = probe->size;
	return true;
}

static bool find_calls(const struct btf *btf, struct vp_owner_layout *l)
{
	const struct btf_type *module = find_struct(btf, "module");

	if (!find_struct(btf, "static_call_site") || !module)
		return true;
	if (!member(btf, module, "static_call_sites", 8, &l->call_sites))
		return true; /* the kernel is built without inline static calls */
	l->calls_known = member(btf, module, "num_static_call_sites", 4, &l->num_call_sites);
	return l->calls_known;
}

static void find_owners(const struct btf *btf, struct vp_owner_layout *out)
{
	struct vp_owner_layout l = { .known = 1 };

	if (find_struct(btf, "task_struct") && find_ftrace(btf, &l) && find_probes(btf, &l) &&
	    find_calls(btf, &l))
		*out = l;
}

/* --- the kernel's allocator of module memory -------------------------------------- */

static bool find_value(const struct btf *btf, const struct btf_type *t, const char *name,
		       uint32_t *value)
{
	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const char *s = btf__name_by_offset(btf, btf_enum(t)[i].name_off);

		if (!s || strcmp(s, name))
			continue;
		*value = (uint32_t)btf_enum(t)[i].val;
		return true;
	}
	return false;
}

static void find_execmem(const struct btf *btf, struct vp_execmem_layout *out)
{
	int id = btf__find_by_name_kind(btf, "execmem_type", BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	struct vp_execmem_layout l = { .known = 1 };

	if (t && find_value(btf, t, "EXECMEM_MODULE_TEXT", &l.text) &&
	    find_value(btf, t, "EXECMEM_MODULE_DATA", &l.data))
		*out = l;
}

/* --- tasks ------------------------------------------------------------------------ */

/* The entries that a pointer leads to: their size, or 0. */
static uint32_t pointed_size(const struct btf *btf, uint32_t type)
{
	const struct btf_type *t = btf__type_by_id(btf, type);
	int64_t size = t && btf_is_ptr(t) ? btf__resolve_size(btf, t->type) : 0;

	return size > 0 && size <= 0x100 ? (uint32_t)size : 0;
}

/* Where else return addresses are kept; none of it must be there, but what is must be known. */
static bool find_returns(const struct btf *btf, const struct btf_type *task,
			 struct vp_task_layout *l)
{
	uint32_t type;

	if (find_member(btf, task, "ret_stack", 8, &l->ret_stack, &type)) {
		l->ret_entry = pointed_size(btf, type);
		if (!l->ret_entry || !member(btf, task, "curr_ret_stack", 4, &l->ret_depth))
			return false;
	}
	member(btf, task, "kretprobe_instances", 8, &l->kretprobes);
	member(btf, task, "rethooks", 8, &l->rethooks);
	return true;
}

static void take_range(struct vp_task_layout *l, uint32_t off, uint32_t size)
{
	if (off < l->low)
		l->low = off;
	if (off + size > l->end)
		l->end = off + size;
}

static void take_ranges(struct vp_task_layout *l)
{
	const uint32_t words[] = { l->thread_node, l->thread_node + 8, l->tasks,
				   l->tasks + 8,   l->signal,	       l->comm,
				   l->comm + 8,	   l->stack,	       l->sp,
				   l->ret_stack,   l->kretprobes,      l->rethooks };

	l->low = l->tasks;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i])
			take_range(l, words[i], 8);
	take_range(l, l->pid, 4);
	take_range(l, l->on_cpu, l->on_cpu_size);
	if (l->ret_stack)
		take_range(l, l->ret_depth, 4);
}

static bool find_on_cpu(const struct btf *btf, const struct btf_type *task,
			struct vp_task_layout *l)
{
	l->on_cpu_size = member(btf, task, "on_cpu", 1, &l->on_cpu) ? 1 : 4;
	return member(btf, task, "on_cpu", l->on_cpu_size, &l->on_cpu);
}

static void find_tasks(const struct btf *btf, struct vp_task_layout *out)
{
	const struct btf_type *task = find_struct(btf, "task_struct");
	const struct btf_type *thread = find_struct(btf, "thread_struct");
	const struct btf_type *signal = find_struct(btf, "signal_struct");
	const struct btf_type *hot = find_struct(btf, "pcpu_hot");
	struct vp_task_layout l = { .known = 1 };
	uint32_t at, type;

	if (!task || !thread || !signal || !member(btf, task, "tasks", 16, &l.tasks) ||
	    !member(btf, task, "thread_node", 16, &l.thread_node) ||
	    !member(btf, task, "signal", 8, &l.signal) || !member(btf, task, "pid", 4, &l.pid) ||
	    !member(btf, task, "comm", 16, &l.comm) || !member(btf, task, "stack", 8, &l.stack) ||
	    !find_on_cpu(btf, task, &l) || !find_member(btf, task, "thread", 0, &at, &type) ||
	    btf__type_by_id(btf, type) != thread || !member(btf, thread, "sp", 8, &l.sp) ||
	    !member(btf, signal, "thread_head", 16, &l.thread_head) || !find_returns(btf, task, &l))
		return;
	l.sp += at;
	if (!member(btf, task, "prio", 4, &l.prio) || !member(btf, task, "policy", 4, &l.policy))
		l.prio = l.policy = 0;
	l.has_hot = hot && member(btf, hot, "hardirq_stack_ptr", 8, &l.hot_irq_stack);
	take_ranges(&l);
	if (l.end <= VP_TASK_MAX)
		*out = l;
}

/* --- the CPU ---------------------------------------------------------------------- */

/* NCAPINTS, by the words that enum cpuid_leafs names. */
static uint32_t count_leafs(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "cpuid_leafs", BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; t && i < btf_vlen(t); i++) {
		const char *s = btf__name_by_offset(btf, btf_enum(t)[i].name_off);
		uint32_t value = (uint32_t)btf_enum(t)[i].val;

		if (s && !strcmp(s, "NR_CPUID_WORDS"))
			return value;
		if (value >= n && value < VP_CPU_WORDS_MAX)
			n = value + 1;
	}
	return n;
}

static void find_cpu(const struct btf *btf, struct vp_cpu_layout *out)
{
	const struct btf_type *cpu = find_struct(btf, "cpuinfo_x86"), *t;
	struct vp_cpu_layout l = { 0 };
	uint32_t type;

	if (!cpu || !find_member(btf, cpu, "x86_capability", 0, &l.caps, &type))
		return;
	t = btf__type_by_id(btf, type);
	if (!t || !btf_is_array(t) || btf__resolve_size(btf, btf_array(t)->type) != 4 ||
	    btf_array(t)->nelems > VP_CPU_WORDS_MAX)
		return;
	l.words = btf_array(t)->nelems;
	l.cap_words = count_leafs(btf);
	*out = l;
}

/* --- livepatches ------------------------------------------------------------------ */

static void find_klp(const struct btf *btf, struct vp_klp_layout *out)
{
	const struct btf_type *func = find_struct(btf, "klp_func");
	const struct btf_type *obj = find_struct(btf, "klp_object");
	const struct btf_type *patch = find_struct(btf, "klp_patch"), *callbacks;
	struct vp_klp_layout l = { 0 };
	uint32_t type;

	if (!func || !obj || !patch || !member(btf, func, "old_name", 8, &l.func_name) ||
	    !member(btf, func, "new_func", 8, &l.func_new) ||
	    !member(btf, func, "old_sympos", 8, &l.func_sympos) ||
	    !member(btf, obj, "name", 8, &l.obj_name) ||
	    !member(btf, obj, "funcs", 8, &l.obj_funcs) ||
	    !find_member(btf, obj, "callbacks", 0, &l.obj_callbacks, &type) ||
	    !member(btf, patch, "mod", 8, &l.patch_mod) ||
	    !member(btf, patch, "objs", 8, &l.patch_objs))
		return;
	callbacks = btf__type_by_id(btf, type);
	if (!callbacks || !btf_is_struct(callbacks))
		return;
	l.callbacks_size = callbacks->size;
	if (!member(btf, patch, "states", 8, &l.patch_states))
		l.patch_states = 0;
	l.lists_known = member(btf, patch, "list", 16, &l.patch_list) &&
			member(btf, patch, "enabled", 1, &l.patch_enabled) &&
			member(btf, patch, "obj_list", 16, &l.patch_obj_list) &&
			member(btf, obj, "node", 16, &l.obj_node) &&
			member(btf, obj, "func_list", 16, &l.obj_func_list) &&
			member(btf, func, "node", 16, &l.func_node) &&
			member(btf, func, "old_func", 8, &l.func_old);
	l.func_size = func->size;
	l.obj_size = obj->size;
	l.patch_size = patch->size;
	if (l.func_size && l.obj_size && l.patch_size)
		*out = l;
}

/* --- all of it ------------------------------------------------------------------- */

int vp_layouts_find(const struct vp_blob *blob, struct vp_layouts *out, struct vp_err *err)
{
	struct vp_layouts l = { 0 };
	libbpf_print_fn_t print;
	struct btf *btf;
	uint16_t magic;
	uint32_t header;
	long failed;

	if (blob->len > VP_BTF_MAX || !vp_blob_u16(blob, 0, &magic) || magic != BTF_MAGIC ||
	    !vp_blob_u32(blob, HDR_LEN, &header) || header % 4)
		return vp_err_set(err, -ENOENT, "the kernel's type information is no BTF");
	print = libbpf_set_print(NULL); /* it would tell our user's terminal what it dislikes */
	btf = btf__new(blob->data, (uint32_t)blob->len);
	failed = libbpf_get_error(btf);
	if (!failed) {
		find_modules(btf, &l.modules);
		find_owners(btf, &l.owners);
		find_execmem(btf, &l.execmem);
		find_tasks(btf, &l.tasks);
		find_cpu(btf, &l.cpu);
		find_klp(btf, &l.klp);
		btf__free(btf);
	}
	libbpf_set_print(print);
	if (failed == -ENOMEM)
		return vp_err_set(err, -ENOMEM, "out of memory for the kernel's type information");
	if (failed)
		return vp_err_set(err, -ENOENT, "the kernel's type information (BTF) is damaged");
	*out = l;
	return 0;
}
