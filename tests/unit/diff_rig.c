/* SPDX-License-Identifier: Apache-2.0 */
#include "diff_rig.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define FUNCTION(imm)                                      \
	{                                                  \
		0xbe, imm, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3 \
	}
const uint8_t plain[] = FUNCTION(7), other[] = FUNCTION(8), line[] = FUNCTION(9);

struct compiled before, after, code;
struct vp_err diff_err;
bool diff_all_local;

void diff_begin(struct compiled *c)
{
	object_begin(&c->build);
}

void diff_end(struct compiled *c)
{
	object_finish(&c->build);
	assert_int_equal(
		vp_elf_object_open(c->build.bytes, c->build.len, "t.o", &c->elf, &diff_err), 0);
	assert_int_equal(vp_unit_open(c->elf, &c->unit, &diff_err), 0);
}

void diff_drop(struct compiled *c)
{
	vp_unit_close(&c->unit);
	vp_elf_object_close(c->elf);
}

unsigned int diff_function(struct compiled *c, const char *name, const uint8_t *bytes,
			   unsigned int *symbol)
{
	static char names[32][64];
	static unsigned int next;
	char *in = names[next++ % 32];
	unsigned int section;

	snprintf(in, sizeof(names[0]), ".text.%s", name);
	section = object_section(&c->build, in, CODE, bytes, sizeof(plain));
	*symbol = object_symbol(&c->build, name, STT_FUNC, section, 0, sizeof(plain));
	if (diff_all_local || !strncmp(name, "inline_", 7))
		c->build.symbols[*symbol].sym.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC);
	return section;
}

void diff_calls(struct compiled *c, unsigned int section, unsigned int symbol)
{
	object_reloc(&c->build, section, 6, R_X86_64_PLT32, symbol, -4);
}

unsigned int diff_outside(struct compiled *c, const char *name)
{
	return object_symbol(&c->build, name, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

unsigned int diff_variable(struct compiled *c, const char *name, uint64_t flags, const void *bytes,
			   size_t size)
{
	static char names[32][64];
	static unsigned int next;
	char *in = names[next++ % 32];
	unsigned int section;

	snprintf(in, sizeof(names[0]), "%s.%s", flags & SHF_WRITE ? ".data" : ".rodata", name);
	section = object_section(&c->build, in, flags, bytes, size);
	return object_symbol(&c->build, name, STT_OBJECT, section, 0, size);
}

void make_f(struct compiled *c, const uint8_t *bytes, const char *g)
{
	unsigned int f, section = diff_function(c, "f", bytes, &f);

	diff_calls(c, section, diff_outside(c, g));
}

void make_bug(struct compiled *c, uint8_t of_line, uint8_t flags)
{
	static uint8_t entries[8][12];
	static unsigned int next;
	uint8_t *entry = entries[next++ % 8];
	unsigned int f, table;

	memset(entry, 0, 12);
	entry[8] = of_line;
	entry[10] = flags;
	diff_begin(c);
	diff_function(c, "f", plain, &f);
	table = object_section(&c->build, "__bug_table", DATA, entry, 12);
	object_reloc(&c->build, table, 0, R_X86_64_PC32, f, 0);
	object_reloc(&c->build, table, 4, R_X86_64_PC32, diff_outside(c, "file"), 0);
	diff_end(c);
}
