/* SPDX-License-Identifier: Apache-2.0 */
/* A vmlinux, bzImage or System.map beside a running guest: kernel_file.c and unpack.c. */
#include "unit.h"
#include "linux_build.h"

#include "linux/unpack.h"

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define SLIDE	 0x3400000ull
#define FILE_MAX (1u << 20)

static struct linux_guest *g;
static char path[64];
static uint8_t bytes[FILE_MAX], packed[FILE_MAX], image[FILE_MAX];
static size_t len;

static int setup(void **state)
{
	int fd;

	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .slide = SLIDE });
	snprintf(path, sizeof(path), "/tmp/vmpoke-kernel-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	lg_free(g);
	return unlink(path);
}

/* Write a file and open the guest with it. */
static int open_with(const void *data, size_t n, struct vp_err *err)
{
	const struct vp_linux_opts opts = { .kernel_file = path };
	FILE *f = fopen(path, "wb");
	struct vp_linux *l;
	int rc;

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	fclose(f);
	memset(err, 0, sizeof(*err));
	rc = vp_linux_open(&g->target, &opts, &l, err);
	if (!rc)
		vp_linux_free(l);
	return rc;
}

static void expect(const void *data, size_t n, int want, const char *text)
{
	struct vp_err err;
	int rc = open_with(data, n, &err);

	if (rc != want || (text && !strstr(err.text, text)))
		fail_msg("%d \"%s\" instead of %d \"%s\"", rc, err.text, want, text ? text : "");
}

/* --- what kernels look like in files --------------------------------------------- */

static uint64_t linked(const struct vp_symbol *s)
{
	return s->addr.v >> 31 ? s->addr.v - SLIDE : s->addr.v;
}

/* The symbols of the guest, @skip of them left out, as a System.map. */
static void make_map(size_t skip)
{
	len = 0;
	for (size_t i = skip; i < g->nsymbols; i++) {
		struct vp_symbol s;

		lg_symbol(g, i, &s);
		len += (size_t)sprintf((char *)bytes + len, "%016llx T %s\n",
				       (unsigned long long)linked(&s), s.name);
	}
}

struct note {
	Elf64_Nhdr nh;
	char name[4];
	uint8_t id[20];
};

/* A vmlinux with @build_id and the first @n symbols of the guest. */
static void make_vmlinux(const uint8_t *build_id, size_t n)
{
	size_t note = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), syms = 256;
	size_t strings = syms + (n + 1) * sizeof(Elf64_Sym), at = strings + 1, sections;
	Elf64_Ehdr *eh = (void *)bytes;
	Elf64_Phdr *ph = (void *)(eh + 1);
	Elf64_Shdr *sh;

	memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym *sym = (Elf64_Sym *)(void *)(bytes + syms) + i + 1;
		struct vp_symbol s;

		lg_symbol(g, i, &s);
		*sym = (Elf64_Sym){ .st_name = (Elf64_Word)(at - strings),
				    .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
				    .st_shndx = 1,
				    .st_value = linked(&s) };
		at += (size_t)sprintf((char *)bytes + at, "%s", s.name) + 1;
	}
	sections = (at + 7) & ~(size_t)7;
	sh = (void *)(bytes + sections);
	sh[1] = (Elf64_Shdr){ .sh_type = SHT_SYMTAB,
			      .sh_offset = syms,
			      .sh_size = (n + 1) * sizeof(Elf64_Sym),
			      .sh_link = 2,
			      .sh_addralign = 8,
			      .sh_entsize = sizeof(Elf64_Sym) };
	sh[2] = (Elf64_Shdr){ .sh_type = SHT_STRTAB,
			      .sh_offset = strings,
			      .sh_size = at - strings,
			      .sh_addralign = 1 };
	len = sections + 3 * sizeof(*sh);
	*eh = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_EXEC,
			    .e_machine = EM_X86_64,
			    .e_version = EV_CURRENT,
			    .e_phoff = sizeof(*eh),
			    .e_shoff = sections,
			    .e_ehsize = sizeof(*eh),
			    .e_phentsize = sizeof(*ph),
			    .e_phnum = build_id ? 1 : 0,
			    .e_shentsize = sizeof(*sh),
			    .e_shnum = n ? 3 : 0 };
	if (!n)
		eh->e_shoff = 0;
	if (!build_id)
		return;
	*ph = (Elf64_Phdr){
		PT_NOTE, PF_R, note, 0, 0, sizeof(struct note), sizeof(struct note), 4
	};
	memcpy(bytes + note, &(struct note){ { 4, 20, NT_GNU_BUILD_ID }, "GNU", { 0 } },
	       sizeof(struct note));
	memcpy(bytes + note + offsetof(struct note, id), build_id, 20);
}

/* --- packers: what the kernel's build does --------------------------------------- */

static size_t pack_gzip(void)
{
	z_stream z = { .next_in = bytes,
		       .avail_in = (uInt)len,
		       .next_out = packed,
		       .avail_out = sizeof(packed) };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t run_lzma(lzma_stream *s)
{
	s->next_in = bytes;
	s->avail_in = len;
	s->next_out = packed;
	s->avail_out = sizeof(packed);
	assert_int_equal(lzma_code(s, LZMA_FINISH), LZMA_STREAM_END);
	lzma_end(s);
	return sizeof(packed) - s->avail_out;
}

static size_t pack_xz(void)
{
	lzma_stream s = LZMA_STREAM_INIT;

	assert_int_equal(lzma_easy_encoder(&s, 6, LZMA_CHECK_CRC32), LZMA_OK);
	return run_lzma(&s);
}

static size_t pack_lzma(void)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_options_lzma o;

	assert_int_equal(lzma_lzma_preset(&o, 6), false);
	assert_int_equal(lzma_alone_encoder(&s, &o), LZMA_OK);
	return run_lzma(&s);
}

static size_t pack_zstd(void)
{
	size_t n = ZSTD_compress(packed, sizeof(packed), bytes, len, 3);

	assert_false(ZSTD_isError(n));
	return n;
}

/* The legacy format in blocks: two of them, to be sure. */
static size_t pack_lz4(void)
{
	static const uint8_t magic[] = { 0x02, 0x21, 0x4c, 0x18 };
	size_t at = 4, half = len / 2;

	memcpy(packed, magic, 4);
	for (size_t i = 0; i < 2; i++) {
		size_t from = i ? half : 0, n = i ? len - half : half;
		int got = LZ4_compress_default((char *)bytes + from, (char *)packed + at + 4,
					       (int)n, (int)(sizeof(packed) - at - 4));

		assert_true(got > 0);
		for (unsigned int b = 0; b < 4; b++)
			packed[at + b] = (uint8_t)(got >> (8 * b));
		at += 4 + (size_t)got;
	}
	return at;
}

static void put32(size_t at, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		image[at + i] = (uint8_t)(value >> (8 * i));
}

/* Put @n packed bytes into a bzImage of two setup sectors; returns its length. */
static size_t make_bzimage(size_t n, bool size_appended)
{
	size_t start = 3 * 512 + 64;

	memset(image, 0, start);
	image[0x1f1] = 2;
	memcpy(image + 0x202, "HdrS", 4);
	image[0x206] = 0x0f;
	image[0x207] = 0x02;
	put32(0x248, 64);
	memcpy(image + start, packed, n);
	if (size_appended) {
		put32(start + n, (uint32_t)len);
		n += 4;
	}
	put32(0x24c, (uint32_t)n);
	memset(image + start + n, 0x5a, 100); /* a checksum, a signature */
	return start + n + 100;
}

/* --- tests ------------------------------------------------------------------------ */

static void system_map(void **state)
{
	(void)state;
	make_map(0);
	expect(bytes, len, 0, NULL);
	expect(bytes, len - 1, 0, NULL); /* no last line end */
	make_map(20);			 /* some are in kallsyms only */
	expect(bytes, len, 0, NULL);
	make_map(200);
	expect(bytes, len, -ESTALE, "200 of the guest's");
	make_map(0);
	bytes[len] = 0;
	strstr((char *)bytes, "filler_50\n")[-4] ^= 1; /* a digit of its address */
	expect(bytes, len, -ESTALE, "is of another kernel: it has");
}

static void stub_map(void **state)
{
	static const char stub[] = "ffffffffffffffff B The real System.map is in the "
				   "linux-image-<version>-dbg package\n";

	(void)state;
	assert_int_equal(sizeof(stub) - 1, 83); /* as Debian ships it */
	expect(stub, sizeof(stub) - 1, -ENOEXEC, "only a stub");
}

static void no_kernel_file(void **state)
{
	const struct vp_linux_opts opts = { .kernel_file = "/no/such/file" };
	struct vp_linux *l;
	struct vp_err err;

	(void)state;
	expect("", 0, -ENOEXEC, "empty");
	expect("hello, world\n", 13, -ENOEXEC, "line 1 is no symbol");
	expect("ffffffff81000000 T \n", 20, -ENOEXEC, "line 1 is no symbol"); /* no name */
	expect("ffffffff81000000 T a\nffffffff8100000g T b\n", 42, -ENOEXEC, "line 2");
	expect("ffffffff81000000 T a\0b\n", 23, -ENOEXEC, "line 1");
	assert_int_equal(vp_linux_open(&g->target, &opts, &l, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/such/file"));
}

static void vmlinux(void **state)
{
	uint8_t other[20] = { 0 };

	(void)state;
	make_vmlinux(lg_build_id, g->nsymbols);
	expect(bytes, len, 0, NULL);
	make_vmlinux(lg_build_id, 0); /* stripped */
	expect(bytes, len, 0, NULL);
	make_vmlinux(other, g->nsymbols);
	expect(bytes, len, -ESTALE,
	       "its build-id is 0000000000000000000000000000000000000000, the "
	       "guest's deadbeef");
	make_vmlinux(NULL, g->nsymbols); /* by its symbols alone */
	expect(bytes, len, 0, NULL);
	make_vmlinux(lg_build_id, g->nsymbols);
	bytes[256 + 50 * sizeof(Elf64_Sym) + 8] ^= 4; /* an address */
	expect(bytes, len, -ESTALE, "is of another kernel: it has");
	make_vmlinux(NULL, 0);
	expect(bytes, len, -ENOEXEC, "neither a build-id nor symbols");
	make_vmlinux(lg_build_id, 10);
	expect(bytes, len - 1, -ENOEXEC, "truncated ELF");
}

static void bzimage(void **state)
{
	static const struct {
		size_t (*pack)(void);
		bool size_appended;
	} rows[] = { { pack_gzip, false },
		     { pack_xz, true },
		     { pack_lzma, true },
		     { pack_zstd, true },
		     { pack_lz4, true } };
	uint8_t other[20] = { 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n;

		make_vmlinux(lg_build_id, 0);
		len = 300000; /* relocations follow, some of them zero */
		n = make_bzimage(rows[i].pack(), rows[i].size_appended);
		expect(image, n, 0, NULL);
		make_vmlinux(other, 0);
		expect(image, make_bzimage(rows[i].pack(), rows[i].size_appended), -ESTALE,
		       "its build-id is 01");
	}
}

/* Every byte of the packed kernel may be wrong, and every length. */
static void damaged_bzimage(void **state)
{
	static size_t (*const pack[])(void) = { pack_gzip, pack_xz, pack_lzma, pack_zstd,
						pack_lz4 };
	uint64_t seed = 0x1234567;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct vp_err err = { "" };
		uint8_t *out;
		size_t n, got;

		make_vmlinux(lg_build_id, g->nsymbols);
		n = make_bzimage(pack[i](), i > 0);
		for (unsigned int k = 0; k < 200; k++) {
			size_t at = 3 * 512 + 64 + unit_random(&seed) % (n - 3 * 512 - 164);
			struct vp_blob b = { image, n, 0 };
			uint8_t was = image[at];

			image[at] ^= (uint8_t)(1 + unit_random(&seed) % 255);
			if (!vp_bzimage_unpack(&b, "FILE", &out, &got, &err))
				free(out); /* in the data of a format without a checksum */
			else
				assert_non_null(strstr(err.text, "FILE: "));
			image[at] = was;
			b.len = unit_random(&seed) % (n - 100);
			if (vp_is_bzimage(&b))
				assert_int_equal(vp_bzimage_unpack(&b, "FILE", &out, &got, &err),
						 -ENOEXEC);
		}
	}
}

static void odd_bzimage(void **state)
{
	size_t n;

	(void)state;
	make_vmlinux(lg_build_id, 0);
	n = make_bzimage(pack_zstd(), true);
	image[0x206] = 7; /* protocol 2.07 */
	expect(image, n, -ENOEXEC, "damaged bzImage");
	n = make_bzimage(pack_zstd(), true);
	put32(0x248, 0xffffffff);
	expect(image, n, -ENOEXEC, "damaged bzImage");
	n = make_bzimage(pack_zstd(), true);
	put32(0x24c, 2);
	expect(image, n, -ENOEXEC, "damaged bzImage");
	n = make_bzimage(pack_zstd(), true);
	put32(n - 104, 0xffffffff); /* 4 GB unpacked */
	expect(image, n, -ENOEXEC, "damaged bzImage");
	n = make_bzimage(pack_zstd(), true);
	put32(n - 104, (uint32_t)len + 1); /* more than there is */
	expect(image, n, -ENOEXEC, "zstd data does not unpack");
	n = make_bzimage(pack_zstd(), true);
	memcpy(image + 3 * 512 + 64, "BZh9", 4);
	expect(image, n, -ENOEXEC, "packed with bzip2");
	memcpy(image + 3 * 512 + 64, "????", 4);
	expect(image, n, -ENOEXEC, "something unknown");
	memcpy(bytes, "not an ELF file at all", 22);
	n = make_bzimage(pack_zstd(), true);
	expect(image, n, -ENOEXEC, "not an ELF file");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(system_map), TEST(stub_map),    TEST(no_kernel_file),  TEST(vmlinux),
		TEST(bzimage),	  TEST(odd_bzimage), TEST(damaged_bzimage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
