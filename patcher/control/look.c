/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that look: symbols, memory, kernel, registers. */
#include <errno.h>
#include <stdlib.h>

#include "base/vcpus.h"
#include "control/internal.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

#define READ_MAX (1u << 20)

json_t *vp_control_resolve_symbol(void *arg, const json_t *args, int *fd, int *code,
				  struct vp_err *err)
{
	struct vp_control *c = arg;
	json_t *where, *ret;
	vp_gva addr = { 0 }, end;
	int insn = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:o, s?b}", "addr", &where, "insn", &insn);
	if (!*code)
		*code = vp_args_addr(c, where, &addr, err);
	if (!*code && insn)
		*code = vp_control_boundary(c, addr, err);
	if (*code)
		return NULL;
	ret = json_object();
	vp_json_set_where(c, ret, addr);
	if (vp_control_end(c, addr, &end))
		json_object_set_new(ret, "end", vp_json_addr(end.v));
	return ret;
}

static json_t *memory_json(struct vp_control *c, vp_gva addr, size_t len, int *code,
			   struct vp_err *err)
{
	uint8_t *bytes = malloc(len);
	char *text = malloc(2 * len + 1);
	json_t *ret = NULL;

	*code = bytes && text ? vp_control_read(c, addr, bytes, len, err)
			      : vp_err_set(err, -ENOMEM, "out of memory");
	if (!*code) {
		ret = json_object();
		vp_json_set_where(c, ret, addr);
		vp_hex_format(bytes, len, text);
		json_object_set_new(ret, "hex", json_string(text));
	}
	free(bytes);
	free(text);
	return ret;
}

json_t *vp_control_read_memory(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err)
{
	struct vp_control *c = arg;
	json_t *where, *length;
	uint64_t len = 0;
	vp_gva addr;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:o, s:o}", "addr", &where, "len", &length);
	if (!*code)
		*code = vp_args_number(length, "len", 1, READ_MAX, &len, err);
	if (!*code)
		*code = vp_args_addr(c, where, &addr, err);
	return *code ? NULL : memory_json(c, addr, (size_t)len, code, err);
}

json_t *vp_control_query_kernel(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_control *c = arg;
	const struct vp_linux_kernel *i;
	struct vp_linux *l = NULL;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	vp_control_refresh(c);
	*code = vp_control_linux(c, &l, err);
	if (*code)
		return NULL;
	i = vp_linux_info(l);
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:i, s:b, s:I}", "release",
			 vp_qmp_text(i->release), "banner", vp_qmp_text(i->banner), "build_id",
			 i->build_id, "text", vp_json_addr(i->text.v), "kaslr_slide",
			 vp_json_addr(i->kaslr_slide), "text_phys", vp_json_addr(i->text_phys.v),
			 "phys_base", vp_json_addr(i->phys_base), "paging_levels",
			 (int)i->paging_levels, "pti", (int)i->pti, "symbols",
			 (json_int_t)vp_symtab_count(vp_linux_symbols(l)));
}

static int list_symbol(void *arg, const char *name, vp_gva addr)
{
	return json_array_append_new(arg, json_pack("{s:o, s:o}", "name", vp_qmp_text(name), "addr",
						    vp_json_addr(addr.v)))
		       ? -ENOMEM
		       : 0;
}

json_t *vp_control_query_symbols(void *arg, const json_t *args, int *fd, int *code,
				 struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_linux *l;
	json_t *list;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	vp_control_refresh(c);
	*code = c->cfg.symbols ? 0 : vp_control_linux(c, &l, err);
	if (*code)
		return NULL;
	list = json_array();
	if (!vp_symtab_each(vp_control_symbols(c), list_symbol, list))
		return list;
	json_decref(list);
	*code = vp_err_set(err, -ENOMEM, "out of memory");
	return NULL;
}

/* --- registers --------------------------------------------------------------- */

static json_t *registers_json(struct vp_control *c, unsigned int id, const struct vp_vcpu_state *s)
{
	static const char *const names[VP_GPR_COUNT] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
	};
	const struct {
		const char *name;
		uint64_t value;
	} more[] = {
		{ "rip", s->regs.rip },
		{ "rflags", s->regs.rflags },
		{ "cs", s->cs },
		{ "ss", s->ss },
		{ "fs_base", s->fs_base },
		{ "gs_base", s->gs_base },
		{ "cr0", s->paging.cr0 },
		{ "cr3", s->paging.cr3 },
		{ "cr4", s->paging.cr4 },
		{ "efer", s->paging.efer },
		{ "idt_base", s->idt_base },
		{ "kernel_gs_base", s->kernel_gs_base },
	};
	json_t *json = json_pack("{s:i}", "cpu-index", (int)id), *where = json_object();

	for (size_t i = 0; i < VP_GPR_COUNT; i++)
		json_object_set_new(json, names[i], vp_json_addr(s->regs.gpr[i]));
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		json_object_set_new(json, more[i].name, vp_json_addr(more[i].value));
	vp_json_set_where(c, where, VP_GVA(s->regs.rip));
	json_object_del(where, "addr");
	json_object_update(json, where);
	json_decref(where);
	return json;
}

/* The vCPUs of a target, one after the other. */
struct vcpus {
	struct {
		unsigned int id;
		struct vp_vcpu_state state;
	} * list;
	size_t n;
	struct vp_err *err;
};

static int add_vcpu(void *arg, int vcpu, const struct vp_vcpu_state *state)
{
	struct vcpus *v = arg;
	void *more = v->n % 64 ? v->list : reallocarray(v->list, v->n + 64, sizeof(*v->list));

	if (!more)
		return vp_err_set(v->err, -ENOMEM, "out of memory");
	v->list = more;
	v->list[v->n].id = (unsigned int)vcpu;
	v->list[v->n++].state = *state;
	return 0;
}

json_t *vp_control_query_registers(void *arg, const json_t *args, int *fd, int *code,
				   struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_target *t = c->cfg.target;
	struct vcpus vcpus = { .err = err };
	json_t *list = NULL;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	vp_control_refresh(c);
	*code = t->ops->lock(t, err);
	if (*code)
		return NULL;
	*code = vp_each_vcpu(t, add_vcpu, &vcpus, err);
	t->ops->unlock(t);
	if (!*code)
		list = json_array();
	for (size_t i = 0; list && i < vcpus.n; i++)
		json_array_append_new(list,
				      registers_json(c, vcpus.list[i].id, &vcpus.list[i].state));
	free(vcpus.list);
	return list;
}
