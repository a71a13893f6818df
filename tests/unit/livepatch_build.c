/* SPDX-License-Identifier: Apache-2.0 */
#include "livepatch_build.h"

#include <stdio.h>
#include <string.h>

#define RX (SHF_ALLOC | SHF_EXECINSTR)
#define RW (SHF_ALLOC | SHF_WRITE)

const struct vp_klp_layout livepatch_layout = {
	.func_size = 40,
	.func_name = 0,
	.func_new = 8,
	.func_sympos = 16,
	.obj_size = 72,
	.obj_name = 0,
	.obj_funcs = 8,
	.obj_callbacks = 16,
	.callbacks_size = 40,
	.patch_size = 48,
	.patch_mod = 0,
	.patch_objs = 8,
	.patch_states = 16,
};

/* "old" is at 0 of the texts, "vmlinux" at 4, the module's name at 16. */
static void texts(struct livepatch_build *b, const char *object)
{
	memset(b->texts, 0, sizeof(b->texts));
	memcpy(b->texts, "old", 4);
	memcpy(b->texts + 4, "vmlinux", 8);
	snprintf(b->texts + 16, 64, "%s", object);
}

static void info(struct livepatch_build *b)
{
	static const char text[] = "license=GPL\0livepatch=Y\0name=fix\0version=3\0"
				   "vermagic=6.1 SMP mod_unload ";

	memcpy(b->info, text, sizeof(text));
	object_section(&b->o, ".modinfo", SHF_ALLOC, b->info, sizeof(text));
}

/* fixed: call helper, without a relocation; call of outside; ret. */
static void code(struct livepatch_build *b)
{
	static const uint8_t fixed[] = { 0xe8, 27, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3 };

	memset(b->code, 0x90, sizeof(b->code));
	memcpy(b->code, fixed, sizeof(fixed));
	b->code[47] = b->code[31] = b->code[63] = 0xc3;
	b->text_section = object_section(&b->o, ".text", RX, b->code, sizeof(b->code));
	b->text = object_symbol(&b->o, "", STT_SECTION, b->text_section, 0, 0);
	b->fixed = object_symbol(&b->o, "fixed", STT_FUNC, b->text_section, 0, 32);
	b->helper = object_symbol(&b->o, "helper", STT_FUNC, b->text_section, 32, 16);
	b->init = object_symbol(&b->o, "init", STT_FUNC, b->text_section, 48, 16);
}

static void pointer(struct livepatch_build *b, unsigned int section, uint64_t at,
		    unsigned int symbol, int64_t addend)
{
	object_reloc(&b->o, section, at, R_X86_64_64, symbol, addend);
}

static void by_hand(struct livepatch_build *b, uint64_t sympos, const char *object)
{
	unsigned int funcs, objects, patch, module;

	memcpy(b->funcs + 16, &sympos, sizeof(sympos));
	funcs = object_section(&b->o, ".data.funcs", RW, b->funcs, 80);
	objects = object_section(&b->o, ".data.objects", RW, b->objects, 144);
	patch = object_section(&b->o, ".data", RW, b->patch, 48);
	module = object_section(&b->o, ".gnu.linkonce.this_module", RW, "module..", 8);
	b->this_module = object_symbol(&b->o, "__this_module", STT_OBJECT, module, 0, 8);
	pointer(b, funcs, 0, b->strings, 0);
	pointer(b, funcs, 8, b->text, 0);
	if (*object)
		pointer(b, objects, 0, b->strings, 16);
	pointer(b, objects, 8, object_symbol(&b->o, "funcs", STT_OBJECT, funcs, 0, 80), 0);
	pointer(b, patch, 0, b->this_module, 0);
	pointer(b, patch, 8, object_symbol(&b->o, "objects", STT_OBJECT, objects, 0, 144), 0);
	b->records = objects;
	b->data_section = patch;
}

static void by_kpatch(struct livepatch_build *b, bool old, uint64_t sympos, const char *object)
{
	uint64_t word = old ? 4 : 5;

	memcpy(b->funcs + 32, &sympos, old ? 0 : sizeof(sympos));
	b->records = object_section(&b->o, ".kpatch.funcs", RW, b->funcs, old ? 48 : 56);
	pointer(b, b->records, 0, b->text, 0);
	pointer(b, b->records, word * 8, b->strings, 0);
	pointer(b, b->records, (word + 1) * 8, b->strings, *object ? 16 : 4);
}

static void by_klp_build(struct livepatch_build *b, uint64_t sympos, const char *object)
{
	unsigned int funcs;

	memcpy(b->funcs + 16, &sympos, sizeof(sympos));
	b->objects[56] = 1;
	funcs = object_section(&b->o, ".init.klp_funcs", RW, b->funcs, 24);
	b->records = object_section(&b->o, ".init.klp_objects", RW, b->objects, 64);
	pointer(b, funcs, 0, b->strings, 0);
	pointer(b, funcs, 8, b->text, 0);
	if (*object)
		pointer(b, b->records, 0, b->strings, 16);
	pointer(b, b->records, 8, object_symbol(&b->o, "", STT_SECTION, funcs, 0, 0), 0);
}

void livepatch_begin(struct livepatch_build *b, enum livepatch_way way, uint64_t sympos,
		     const char *object)
{
	memset(b, 0, sizeof(*b));
	object_begin(&b->o);
	info(b);
	code(b);
	texts(b, object);
	b->strings_section = object_section(&b->o, ".rodata.str1.1", SHF_ALLOC, b->texts, 128);
	b->strings = object_symbol(&b->o, "", STT_SECTION, b->strings_section, 0, 0);
	object_reloc(&b->o, b->text_section, 6, R_X86_64_PLT32,
		     object_symbol(&b->o, "outside", STT_NOTYPE, SHN_UNDEF, 0, 0), -4);
	if (way == BY_HAND)
		by_hand(b, sympos, object);
	else if (way == BY_KLP_BUILD)
		by_klp_build(b, sympos, object);
	else
		by_kpatch(b, way == BY_OLD_KPATCH, sympos, object);
}
