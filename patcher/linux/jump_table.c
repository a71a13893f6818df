/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/jump_table.h"

#include "x86/decode.h"

#include <errno.h>
#include <stdlib.h>

/* struct jump_entry: code s32, target s32, key s64, each relative to where it stands. */
#define ENTRY_SIZE 16u
#define KEY_BRANCH 1u
#define KEY_INIT   2u

/* struct static_key: enabled s32 at 0; at 8 a pointer whose low bits are flags. */
#define KEY_SIZE    16u
#define KEY_TYPE    8u
#define TYPE_MASK   3u
#define TYPE_LINKED 2u /* the pointer leads to a list of struct static_key_mod */

/* struct static_key_mod: next, entries, mod: three pointers. */
#define MOD_SIZE 24u

/* Debian's kernel has 6,300 entries and 2,800 keys; no module has as many for one key. */
#define ENTRIES_MAX  (1u << 18)
#define WORK_MAX     (1u << 17)
#define WORK_KEY_MAX (1u << 12)
#define RUN_AHEAD    1024u

/* --- entries ----------------------------------------------------------------- */

/* Decode the entry at offset @off of @b. False: it is not all there. */
static bool decode_entry(const struct vp_blob *b, uint64_t off, struct vp_jump_entry *out)
{
	uint64_t at = b->base + off, key;
	uint32_t code, target;

	if (!vp_blob_u32(b, off, &code) || !vp_blob_u32(b, off + 4, &target) ||
	    !vp_blob_u64(b, off + 8, &key))
		return false;
	key += at + 8;
	*out = (struct vp_jump_entry){
		.code = at + (uint64_t)(int64_t)(int32_t)code,
		.target = at + 4 + (uint64_t)(int64_t)(int32_t)target,
		.key = key & ~(uint64_t)TYPE_MASK,
		.branch = key & KEY_BRANCH,
		.init = key & KEY_INIT,
	};
	return true;
}

static int by_key(const void *a, const void *b)
{
	const struct vp_jump_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->code > y->code) - (x->code < y->code);
}

/* Add the @n entries at @start to @t. */
static int read_entries(const struct vp_linux *l, uint64_t start, size_t n, struct vp_jump_table *t,
			struct vp_err *err)
{
	struct vp_blob b = { .len = n * ENTRY_SIZE, .base = start };
	uint8_t *bytes = malloc(b.len + 1);
	void *more = reallocarray(t->entries, t->n + n + 1, sizeof(*t->entries));
	int rc;

	if (more)
		t->entries = more;
	if (!bytes || !more) {
		free(bytes);
		return vp_err_set(err, -ENOMEM, "out of memory for the jump table");
	}
	b.data = bytes;
	rc = vp_kernel_mem_read(&l->mem, VP_GVA(start), bytes, b.len, err);
	for (uint64_t off = 0; !rc && off < b.len; off += ENTRY_SIZE)
		decode_entry(&b, off, &t->entries[t->n++]);
	free(bytes);
	return rc;
}

/* The kernel sorts them, too; but not all versions by code. */
static void sort_entries(struct vp_jump_table *t)
{
	if (t->n)
		qsort(t->entries, t->n, sizeof(*t->entries), by_key);
}

static int table_new(struct vp_jump_table **out, struct vp_err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : vp_err_set(err, -ENOMEM, "out of memory for the jump table");
}

/* Of one module. One that went away meanwhile is left out. */
static int add_module(const struct vp_linux *l, const struct vp_module *m, struct vp_jump_table *t,
		      struct vp_err *err)
{
	int rc;

	if (t->n + m->njumps > ENTRIES_MAX)
		return vp_err_set(err, -EBADMSG, "the modules have more than %u jump entries",
				  ENTRIES_MAX);
	rc = read_entries(l, m->jumps, m->njumps, t, err);
	if (rc != -EFAULT)
		return rc;
	t->whole = false;
	return 0;
}

int vp_jump_modules_get(struct vp_linux *l, const struct vp_jump_table **out, struct vp_err *err)
{
	struct vp_jump_table *t;
	int rc;

	if ((*out = l->module_jumps))
		return 0;
	rc = table_new(&t, err);
	if (rc)
		return rc;
	t->whole = vp_modules_are_known(l) && l->modules_at.jump_entries && l->modules.whole;
	for (size_t i = 0; i < l->modules.n && !rc; i++)
		if (l->modules.m[i].njumps)
			rc = add_module(l, &l->modules.m[i], t, err);
	if (rc) {
		vp_jump_table_free(t);
		return rc;
	}
	sort_entries(t);
	*out = l->module_jumps = t;
	return 0;
}

int vp_jump_modules_keep(struct vp_linux *l, struct vp_jump_table **out, struct vp_err *err)
{
	const struct vp_jump_table *t;
	int rc = vp_jump_modules_get(l, &t, err);

	*out = NULL;
	if (rc)
		return rc;
	*out = l->module_jumps;
	(*out)->kept++;
	return 0;
}

int vp_jump_table_get(struct vp_linux *l, const struct vp_jump_table **out, struct vp_err *err)
{
	struct vp_jump_table *t = NULL;
	vp_gva start, stop;
	uint64_t len;
	int rc;

	if ((*out = l->jump_table))
		return 0;
	if (!vp_linux_find(l, "__start___jump_table", &start) ||
	    !vp_linux_find(l, "__stop___jump_table", &stop))
		return vp_err_set(err, -ENOENT,
				  "the kernel's symbols do not tell where its jump table is: built "
				  "without CONFIG_KALLSYMS_ALL or CONFIG_JUMP_LABEL");
	len = stop.v - start.v;
	if (start.v - l->mem.text.v >= l->mem.end - l->mem.text.v || !len || len % ENTRY_SIZE ||
	    len > (uint64_t)ENTRIES_MAX * ENTRY_SIZE)
		return vp_err_set(err, -EBADMSG,
				  "the jump table from 0x%llx to 0x%llx makes no sense",
				  (unsigned long long)start.v, (unsigned long long)stop.v);
	rc = table_new(&t, err);
	if (!rc)
		rc = read_entries(l, start.v, (size_t)(len / ENTRY_SIZE), t, err);
	if (rc) {
		vp_jump_table_free(t);
		return rc;
	}
	sort_entries(t);
	*out = l->jump_table = t;
	return 0;
}

void vp_jump_table_free(struct vp_jump_table *table)
{
	if (!table || table->kept--)
		return;
	free(table->entries);
	free(table);
}

/* --- the entries of one key -------------------------------------------------- */

static int list_add(struct vp_jump_list *list, const struct vp_jump_entry *e, struct vp_err *err)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		void *p = reallocarray(list->entries, cap, sizeof(*list->entries));

		if (!p)
			return vp_err_set(err, -ENOMEM, "out of memory for jump entries");
		list->entries = p;
		list->cap = cap;
	}
	list->entries[list->n++] = *e;
	return 0;
}

static bool list_has(const struct vp_jump_list *list, const struct vp_jump_entry *e)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->entries[i].code == e->code)
			return true;
	return false;
}

const struct vp_jump_entry *vp_jump_table_find(const struct vp_jump_table *t, uint64_t key,
					       size_t *n)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->entries[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (hi = lo; hi < t->n && t->entries[hi].key == key; hi++)
		;
	*n = hi - lo;
	return *n ? t->entries + lo : NULL;
}

static int add_table(const struct vp_jump_table *t, uint64_t key, struct vp_jump_list *list,
		     struct vp_err *err)
{
	size_t n;
	const struct vp_jump_entry *e = vp_jump_table_find(t, key, &n);
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = list_add(list, &e[i], err);
	return rc;
}

/* Lists of a guest that lies have no end. */
static int work(struct vp_linux *l, uint64_t key, struct vp_err *err)
{
	if (++l->work_key <= WORK_KEY_MAX && ++l->work <= WORK_MAX)
		return 0;
	return vp_err_set(
		err, -EBADMSG,
		"the modules' entries for the key at 0x%llx do not end: the guest's memory "
		"makes no sense",
		(unsigned long long)key);
}

/*
 * A module's entries for one key stand together, from @addr on. Where the module's table ends is
 * not known here, but what follows it cannot name this key: its offset would have to lead here.
 */
static int add_run(struct vp_linux *l, uint64_t addr, uint64_t key, struct vp_jump_list *list,
		   struct vp_err *err)
{
	struct vp_view view = { .ahead = RUN_AHEAD };
	int rc = 0;

	for (unsigned int i = 0; !rc; i++, addr += ENTRY_SIZE) {
		struct vp_jump_entry e;
		uint8_t raw[ENTRY_SIZE];
		const struct vp_blob b = { raw, sizeof(raw), addr };

		/* The first must be readable; a later one may lie behind the end of the table. */
		rc = vp_view_read(l, &view, addr, raw, sizeof(raw), err);
		if (rc == -EFAULT && i)
			rc = 1;
		if (rc || !decode_entry(&b, 0, &e) || e.key != key)
			break;
		rc = work(l, key, err);
		if (!rc && !list_has(list, &e))
			rc = list_add(list, &e, err);
	}
	vp_view_free(&view);
	return rc > 0 ? 0 : rc;
}

/* Follow the list of modules that use a key. */
static int follow_list(struct vp_linux *l, uint64_t node, uint64_t key, struct vp_jump_list *list,
		       struct vp_err *err)
{
	int rc = 0;

	while (node && !rc) {
		uint64_t next = 0, entries = 0, module = 0;
		uint8_t raw[MOD_SIZE];
		const struct vp_blob b = { raw, sizeof(raw), node };

		rc = work(l, key, err);
		if (!rc)
			rc = vp_kernel_mem_read(&l->mem, VP_GVA(node), raw, sizeof(raw), err);
		if (rc)
			break;
		vp_blob_u64(&b, 0, &next);
		vp_blob_u64(&b, 8, &entries);
		vp_blob_u64(&b, 16, &module);
		if (module && entries) /* no module: the kernel's own, which we have */
			rc = add_run(l, entries, key, list, err);
		node = next;
	}
	return rc;
}

int vp_jump_entries(struct vp_linux *l, uint64_t addr, const struct vp_key_struct *key,
		    struct vp_jump_list *out, bool *hidden, struct vp_err *err)
{
	uint64_t pointer = key->type & ~(uint64_t)TYPE_MASK;
	bool sealed = !pointer && key->type & TYPE_LINKED; /* and its list was taken away */
	const struct vp_jump_table *t, *modules;
	int rc = vp_jump_table_get(l, &t, err);

	*hidden = false;
	l->work_key = 0;
	if (!rc)
		rc = vp_jump_modules_get(l, &modules, err);
	if (!rc)
		rc = add_table(t, addr, out, err);
	if (!rc)
		rc = add_table(modules, addr, out, err);
	if (rc)
		return rc;
	*hidden = sealed && !modules->whole;
	/* What the key itself tells; for modules that could not be read, all there is. */
	if (key->type & TYPE_LINKED)
		return follow_list(l, pointer, addr, out, err);
	return !out->n && pointer ? add_run(l, pointer, addr, out, err) : 0; /* a module's own */
}

/* --- what stands there ------------------------------------------------------- */

int vp_jump_key(const struct vp_linux *l, struct vp_view *view, uint64_t addr,
		struct vp_key_struct *out, struct vp_err *err)
{
	uint8_t raw[KEY_SIZE];
	const struct vp_blob b = { raw, sizeof(raw), addr };
	int rc = vp_view_read(l, view, addr, raw, sizeof(raw), err);
	uint32_t enabled = 0;

	if (rc)
		return rc;
	vp_blob_u32(&b, 0, &enabled);
	vp_blob_u64(&b, KEY_TYPE, &out->type);
	out->enabled = (int32_t)enabled;
	return 0;
}

int vp_jump_look(const struct vp_linux *l, struct vp_view *view, const struct vp_jump_entry *e,
		 struct vp_jump_site *out, struct vp_err *err)
{
	size_t len = sizeof(out->bytes);
	struct vp_insn insn;
	bool code;
	int rc;

	*out = (struct vp_jump_site){ .state = VP_JUMP_GONE };
	rc = vp_kernel_mem_is_code(&l->mem, VP_GVA(e->code), &code, err);
	if (rc || !code)
		return rc;
	rc = vp_view_read(l, view, e->code, out->bytes, len, err);
	if (rc == -EFAULT) {
		len = 2; /* the last instruction before a hole */
		rc = vp_view_read(l, view, e->code, out->bytes, len, err);
	}
	if (rc)
		return rc == -EFAULT ? 0 : rc;
	out->state = out->bytes[0] == VP_INT3 ? VP_JUMP_BUSY : VP_JUMP_ODD;
	if (vp_insn_decode(out->bytes, len, VP_GVA(e->code), &insn, NULL) ||
	    (insn.len != 2 && insn.len != 5))
		return 0;
	out->len = insn.len;
	if (insn.kind == VP_INSN_NOP)
		out->state = VP_JUMP_NOP;
	else if (insn.kind == VP_INSN_JMP_REL && insn.target.v == e->target)
		out->state = VP_JUMP_JMP;
	return 0;
}
