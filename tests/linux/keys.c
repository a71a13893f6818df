/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second opinion on the static keys of a kernel: its jump table (include/linux/jump_label.h,
 * arch/x86/include/asm/jump_label.h) in an image of its memory, read by nothing of vmpoke.
 *
 *	keys IMAGE TEXT START STOP
 *
 * IMAGE is memory from address TEXT on; START and STOP are __start___jump_table and
 * __stop___jump_table. Each live site must be a jmp to its target where (enabled > 0) XOR branch,
 * else a nop; those that are not are printed. Ends with "N sites, N wrong"; fails if any is, or if
 * there are none.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct image {
	unsigned char *bytes;
	uint64_t start, len;
};

static void die(const char *what)
{
	fprintf(stderr, "keys: %s\n", what);
	exit(2);
}

static void image_load(struct image *image, const char *path, uint64_t start)
{
	FILE *f = fopen(path, "rb");
	long len;

	if (!f || fseek(f, 0, SEEK_END) || (len = ftell(f)) <= 0)
		die("cannot read IMAGE");
	rewind(f);
	*image = (struct image){ malloc((size_t)len), start, (uint64_t)len };
	if (!image->bytes || fread(image->bytes, 1, (size_t)len, f) != (size_t)len)
		die("cannot read IMAGE");
	fclose(f);
}

static const void *image_at(const struct image *image, uint64_t addr, uint64_t len)
{
	if (addr < image->start || addr - image->start > image->len ||
	    image->len - (addr - image->start) < len)
		die("an address outside IMAGE");
	return image->bytes + (addr - image->start);
}

static int32_t s32_at(const struct image *image, uint64_t addr)
{
	int32_t value;

	memcpy(&value, image_at(image, addr, sizeof(value)), sizeof(value));
	return value;
}

static int64_t s64_at(const struct image *image, uint64_t addr)
{
	int64_t value;

	memcpy(&value, image_at(image, addr, sizeof(value)), sizeof(value));
	return value;
}

/* Does a nop stand there (target 0), or a jmp to @target? */
static int holds(const struct image *image, uint64_t code, uint64_t target)
{
	const unsigned char *insn = image_at(image, code, 5);

	if (!target)
		return !memcmp(insn, "\x66\x90", 2) || !memcmp(insn, "\x0f\x1f\x44\x00\x00", 5) ||
		       !memcmp(insn, "\x66\x66\x66\x66\x90", 5); /* 5.10 on QEMU's CPU */
	if (insn[0] == 0xeb)
		return code + 2 + (uint64_t)(int64_t)(int8_t)insn[1] == target;
	return insn[0] == 0xe9 && code + 5 + (uint64_t)(int64_t)s32_at(image, code + 1) == target;
}

int main(int argc, char **argv)
{
	unsigned int sites = 0, wrong = 0;
	struct image image;
	uint64_t stop;

	if (argc != 5)
		die("usage: keys IMAGE TEXT START STOP");
	image_load(&image, argv[1], strtoull(argv[2], NULL, 16));
	stop = strtoull(argv[4], NULL, 16);
	for (uint64_t entry = strtoull(argv[3], NULL, 16); entry < stop; entry += 16) {
		uint64_t code = entry + (uint64_t)(int64_t)s32_at(&image, entry);
		uint64_t target = entry + 4 + (uint64_t)(int64_t)s32_at(&image, entry + 4);
		uint64_t key = entry + 8 + (uint64_t)s64_at(&image, entry + 8);
		int branch = key & 1, init = key & 2, on;

		if (init)
			continue;
		on = (s32_at(&image, key & ~3ull) > 0) ^ branch;
		sites++;
		if (holds(&image, code, on ? target : 0))
			continue;
		wrong++;
		printf("%#llx is wrong for the key at %#llx\n", (unsigned long long)code,
		       (unsigned long long)(key & ~3ull));
	}
	printf("%u sites, %u wrong\n", sites, wrong);
	return wrong || !sites;
}
