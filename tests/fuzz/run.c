/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drive a fuzzer without libFuzzer: every file of its corpus, then mutants of them, the same
 * ones in every run with one seed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define FILES_MAX 1024u
#define INPUT_MAX ((size_t)64 << 10)
#define HANG_S	  60 /* for one input: all take milliseconds */

struct input {
	uint8_t *bytes;
	size_t len;
};

static struct input corpus[FILES_MAX];
static size_t ncorpus;

/* The input in hand, for whoever catches the crash. */
static struct input current;
static const char *save_path;

/* A sanitizer ends a process by abort(), so that on_crash() sees it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "abort_on_error=1:handle_abort=0";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static void on_crash(int sig)
{
	static const char bad[] = "an input crashes or breaks a rule\n", slow[] = "(it hangs)\n";
	int fd = open(save_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd >= 0) {
		(void)!write(fd, current.bytes, current.len);
		close(fd);
	}
	(void)!write(STDOUT_FILENO, bad, sizeof(bad) - 1);
	if (sig == SIGALRM)
		(void)!write(STDOUT_FILENO, slow, sizeof(slow) - 1);
	_exit(1);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void load_file(const char *dir, const char *name)
{
	struct input *in = &corpus[ncorpus];
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	in->bytes = malloc(INPUT_MAX);
	if (!f || !in->bytes) {
		fprintf(stderr, "fuzz: cannot read %s\n", path);
		exit(2);
	}
	in->len = fread(in->bytes, 1, INPUT_MAX, f);
	fclose(f);
	ncorpus++;
}

/* In the order of names: what the mutator makes must not depend on the file system. */
static void load_corpus(const char *dir)
{
	char *names[FILES_MAX];
	struct dirent *e;
	DIR *d = opendir(dir);
	size_t n = 0;

	while (d && n < FILES_MAX && (e = readdir(d)))
		if (e->d_name[0] != '.' && (names[n] = strdup(e->d_name)))
			n++;
	if (!n) {
		fprintf(stderr, "fuzz: no corpus in %s\n", dir);
		exit(2);
	}
	closedir(d);
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		load_file(dir, names[i]);
		free(names[i]);
	}
}

/* --- the mutator ------------------------------------------------------------- */

static uint64_t state;

/* xorshift64; @n > 0. */
static size_t pick(size_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (size_t)(state % n);
}

static void put_number(struct input *in, size_t at)
{
	static const uint64_t odd[] = { 0,	    1,		0x7f,	    0x80,
					0xff,	    0xffff,	0x7fffffff, 0x80000000,
					0xffffffff, INT64_MAX,	1ull << 63, UINT64_MAX,
					0x100000,   0xfffff000, 0x1000,	    0xcc };
	uint64_t value = odd[pick(sizeof(odd) / sizeof(odd[0]))];
	size_t n = (size_t)1 << pick(4);

	memcpy(in->bytes + at, &value, n < in->len - at ? n : in->len - at);
}

/* Put @n bytes of @from (NULL: of the input itself) in at @at. */
static void insert(struct input *in, size_t at, const struct input *from)
{
	struct input block = from ? *from : *in;
	uint8_t copy[256];
	size_t start, n;

	if (!block.len)
		return;
	start = pick(block.len);
	n = 1 + pick(block.len - start < sizeof(copy) ? block.len - start : sizeof(copy));
	n = n < block.len - start ? n : block.len - start;
	if (n > INPUT_MAX - in->len)
		return;
	memcpy(copy, block.bytes + start, n);
	memmove(in->bytes + at + n, in->bytes + at, in->len - at);
	memcpy(in->bytes + at, copy, n);
	in->len += n;
}

static void cut(struct input *in, size_t at)
{
	size_t n = 1 + pick(in->len - at < 64 ? in->len - at : 64);

	memmove(in->bytes + at, in->bytes + at + n, in->len - at - n);
	in->len -= n;
}

static void mutate(struct input *in)
{
	size_t at = in->len ? pick(in->len) : 0;

	switch (in->len ? pick(8) : 6) {
	case 0:
	case 1:
		in->bytes[at] ^= (uint8_t)(1u << pick(8));
		break;
	case 2:
		in->bytes[at] = (uint8_t)pick(256);
		break;
	case 3:
		put_number(in, at);
		break;
	case 4:
		cut(in, at);
		break;
	case 5:
		insert(in, at, NULL);
		break;
	case 6:
		insert(in, at, &corpus[pick(ncorpus)]);
		break;
	case 7:
		if (pick(8) == 0)
			in->len = at;
		else
			in->bytes[at] = (uint8_t)(in->bytes[at] + pick(33) - 16);
		break;
	}
}

/* A block of the exact size, so that a read past the end is one past a malloc()ed block. */
static void run_one(const struct input *in)
{
	current = (struct input){ malloc(in->len ? in->len : 1), in->len };
	if (!current.bytes)
		exit(2);
	memcpy(current.bytes, in->bytes, in->len);
	alarm(HANG_S);
	LLVMFuzzerTestOneInput(current.bytes, current.len);
	alarm(0);
	free(current.bytes);
}

int main(int argc, char **argv)
{
	static uint8_t bytes[INPUT_MAX];
	static const int crashes[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM };
	uint64_t mutants;

	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: %s CORPUS MUTANTS SAVE-CRASH-AS [SEED]\n", argv[0]);
		return 2;
	}
	mutants = strtoull(argv[2], NULL, 0);
	save_path = argv[3];
	state = (argc == 5 ? strtoull(argv[4], NULL, 0) : 1) * 0x9e3779b97f4a7c15 | 1;
	load_corpus(argv[1]);
	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		signal(crashes[i], on_crash);

	for (size_t i = 0; i < ncorpus; i++)
		run_one(&corpus[i]);
	for (uint64_t i = 0; i < mutants; i++) {
		const struct input *from = &corpus[pick(ncorpus)];
		struct input in = { bytes, from->len };

		memcpy(bytes, from->bytes, from->len);
		for (size_t n = 1 + pick(6); n; n--)
			mutate(&in);
		run_one(&in);
	}
	printf("%" PRIu64 "\n", mutants + ncorpus);
	for (size_t i = 0; i < ncorpus; i++)
		free(corpus[i].bytes);
	return 0;
}
