/* SPDX-License-Identifier: Apache-2.0 */
#include "linux_file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

Elf64_Ehdr *lf_ehdr(struct linux_file *f)
{
	return (Elf64_Ehdr *)(void *)f->bytes;
}

Elf64_Phdr *lf_phdr(struct linux_file *f, unsigned int i)
{
	return (Elf64_Phdr *)(void *)(f->bytes + sizeof(Elf64_Ehdr)) + i;
}

uint8_t *lf_at(struct linux_file *f, uint32_t off)
{
	assert(off < LG_DATA + LF_DATA_SIZE);
	return f->bytes + LF_START + off;
}

void lf_put(struct linux_file *f, uint32_t off, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		*lf_at(f, off + i) = (uint8_t)(value >> (8 * i));
}

void lf_put_alternatives(struct linux_file *f, unsigned int size, uint32_t off, uint8_t len)
{
	memset(lf_at(f, LG_ALTS), 0, LG_ALTS_SIZE);
	for (uint32_t at = LG_ALTS; at < LG_ALTS + LG_ALTS_SIZE; at += size) {
		lf_put(f, at, off - at, 4);
		lf_put(f, at + 4, LG_ENTRY_TEXT - (at + 4), 4);
		lf_put(f, at + size - 2, len, 1);
		lf_put(f, at + size - 1, len, 1);
	}
}

static void write_entries(struct linux_file *f)
{
	for (uint32_t i = 0; i < LG_FUNCS; i++) {
		uint32_t at = LG_ENTRY(i);

		if (i % 4 < 2) {
			*lf_at(f, at) = 0xe8;
			lf_put(f, at + 1, LG_FENTRY - (at + 5), 4);
		}
		if (i < LG_FUNCS - 1)
			lf_put(f, LG_MCOUNT + 8 * i, LG_LINKED + at, 8);
	}
}

struct linux_file *lf_new(struct linux_guest *g)
{
	struct linux_file *f = calloc(1, sizeof(*f));
	const uint64_t phys = LG_IMAGE_GPA;

	assert(f && g->text == LG_LINKED);
	f->bytes = calloc(1, LF_SIZE);
	assert(f->bytes);
	memcpy(f->bytes + LF_START, lg_image(g, 0), LG_DATA + LF_DATA_SIZE);
	*lf_ehdr(f) = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB,
						 EV_CURRENT },
				    .e_type = ET_EXEC,
				    .e_machine = EM_X86_64,
				    .e_version = EV_CURRENT,
				    .e_phoff = sizeof(Elf64_Ehdr),
				    .e_ehsize = sizeof(Elf64_Ehdr),
				    .e_phentsize = sizeof(Elf64_Phdr),
				    .e_phnum = LF_SEGMENTS };
	*lf_phdr(f, LF_TEXT) = (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, LF_START,
					     g->text, phys,	   LG_RODATA + LG_RODATA_SIZE,
					     LG_DATA, 0x200000 };
	*lf_phdr(f, LF_DATA) = (Elf64_Phdr){
		PT_LOAD,	PF_R | PF_W,  LF_START + LG_DATA,      g->text + LG_DATA,
		phys + LG_DATA, LF_DATA_SIZE, LG_IMAGE_SIZE - LG_DATA, 0x200000
	};
	*lf_phdr(f, LF_PERCPU) =
		(Elf64_Phdr){ PT_LOAD, PF_R | PF_W, LF_START, 0, phys + LG_IMAGE_SIZE - 0x1000,
			      0x100,   0x100,	    0x1000 };
	write_entries(f);
	lf_put_alternatives(f, 12, LG_FUNC(2), 6);
	lf_put(f, LG_PARAS, LG_LINKED + LG_FUNC(4) + 5, 8);
	lf_put(f, LG_PARAS + 9, 6, 1);
	lf_put(f, LG_CONSTS, LG_FUNC(6) + 5 - LG_CONSTS, 4);
	return f;
}

void lf_free(struct linux_file *f)
{
	free(f->bytes);
	free(f);
}
