/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel of linux_build.h as a vmlinux, before it ran: its entries call the tracer, every other
 * one has a nop already; the tables of start-up are full.
 */
#ifndef VP_TESTS_LINUX_FILE_H
#define VP_TESTS_LINUX_FILE_H

#include <elf.h>

#include "linux_build.h"

/* Segments: text and read-only data; data; per-CPU data, linked at 0. */
enum { LF_TEXT, LF_DATA, LF_PERCPU, LF_SEGMENTS };

#define LF_START     0x1000u /* of the text, in the file */
#define LF_DATA_SIZE 0x100000u
#define LF_SIZE	     (LF_START + LG_DATA + LF_DATA_SIZE)

struct linux_file {
	uint8_t *bytes; /* LF_SIZE */
};

/* Of a guest without a slide, which stays as it is. */
struct linux_file *lf_new(struct linux_guest *g);
void lf_free(struct linux_file *f);

Elf64_Ehdr *lf_ehdr(struct linux_file *f);
Elf64_Phdr *lf_phdr(struct linux_file *f, unsigned int i);

/* The bytes at an offset in the image. */
uint8_t *lf_at(struct linux_file *f, uint32_t off);
void lf_put(struct linux_file *f, uint32_t off, uint64_t value, unsigned int bytes);

/* Alternatives of @size bytes (12, 14), all of which are for @len bytes of text at @off. */
void lf_put_alternatives(struct linux_file *f, unsigned int size, uint32_t off, uint8_t len);

#endif /* VP_TESTS_LINUX_FILE_H */
