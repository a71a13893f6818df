/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: what is appended comes back, and a writer that dies leaves something to read. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/ledger.h"
#include "unit.h"

#define BOOT 0x1234567890abcdefull
#define PARK VP_RESUME_PARK

struct rig {
	char dir[32], path[64];
	struct vp_ledger *ledger;
};

static void name_of(void *arg, vp_gva addr, char *text, size_t size)
{
	(void)arg;
	snprintf(text, size, "symbol_%llx", (unsigned long long)addr.v);
}

static int open_ledger(struct rig *r, struct vp_err *err)
{
	return vp_ledger_open(r->path, 0, &r->ledger, err);
}

static void reopen(struct rig *r)
{
	vp_ledger_close(r->ledger);
	r->ledger = NULL;
	assert_int_equal(open_ledger(r, NULL), 0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	strcpy(r->dir, "/tmp/vmpoke-unit-XXXXXX");
	if (!mkdtemp(r->dir))
		return -1;
	snprintf(r->path, sizeof(r->path), "%s/a/b/vm.jsonl", r->dir);
	*state = r;
	return open_ledger(r, NULL);
}

static int teardown(void **state)
{
	struct rig *r = *state;
	char path[64];

	vp_ledger_close(r->ledger);
	unlink(r->path);
	snprintf(path, sizeof(path), "%s/a/b", r->dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/a", r->dir);
	rmdir(path);
	rmdir(r->dir);
	free(r);
	return 0;
}

static void begin(struct rig *r, const char *command, uint64_t id, uint64_t boot, uint64_t addr)
{
	const struct vp_site site = { .addr = VP_GVA(addr),
				      .len = 2,
				      .old_bytes = { 0x66, 0x90 },
				      .new_bytes = { 0xeb, 0x10 },
				      .resume = VP_RESUME_FIXUP,
				      .fixup = VP_GVA(0xffff0000) };
	const struct vp_word words[] = {
		{ VP_GVA(0x1000), 0, (uint32_t)-1 },
		{ VP_GVA(0x2000), 7, 7 },
	};
	const struct vp_ledger_begin b = {
		.command = command,
		.id = id,
		.boot = boot,
		.kernel = "6.1",
		.build_id = "abcd",
		.uid = getuid(),
		.pid = getpid(),
		.note = "why",
		.strategy = VP_STRATEGY_STOP,
		.sites = &site,
		.nsites = 1,
		.words = words,
		.nwords = 2,
		.name = name_of,
	};

	assert_int_equal(vp_ledger_begin(r->ledger, &b, NULL), 0);
}

static void applied(struct rig *r, const char *command, uint64_t id, uint64_t addr)
{
	begin(r, command, strcmp(command, "revert") ? 0 : id, BOOT, addr);
	assert_int_equal(vp_ledger_end(r->ledger, "applied", id, NULL, NULL), 0);
}

/* The numbers of the batches that stand, as the digits of one number. */
static uint64_t standing(struct rig *r, uint64_t boot)
{
	struct vp_ledger_batch *list;
	uint64_t ids = 0;
	size_t n;

	assert_int_equal(vp_ledger_applied(r->ledger, boot, &list, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		ids = ids * 10 + list[i].record.id;
	vp_ledger_batches_free(list, n);
	return ids;
}

/* Before there were several words there was one, and ledgers of then are still about. */
static void test_one_word(void **state)
{
	static const char line[] =
		"{\"seq\":1,\"event\":\"begin\",\"command\":\"key-set\",\"boot\":\"0x77\","
		"\"strategy\":\"stop\",\"sites\":[],\"word\":{\"addr\":\"0x1000\",\"old\":0,"
		"\"new\":1}}\n{\"seq\":2,\"event\":\"applied\",\"of\":1,\"id\":1}\n";
	struct rig *r = *state;
	struct vp_ledger_batch *list;
	FILE *f = fopen(r->path, "w");
	size_t n;

	assert_non_null(f);
	fputs(line, f);
	fclose(f);
	reopen(r);
	assert_int_equal(vp_ledger_applied(r->ledger, 0x77, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].record.nwords, 1);
	assert_int_equal(list[0].record.words[0].addr.v, 0x1000);
	assert_int_equal(list[0].record.words[0].new_value, 1);
	vp_ledger_batches_free(list, n);
}

static void test_comes_back(void **state)
{
	struct rig *r = *state;
	struct vp_ledger_batch *list;
	const struct vp_record *rec;
	size_t n;

	applied(r, "poke", 1, 0xffffffff81000000);
	reopen(r);
	assert_int_equal(vp_ledger_applied(r->ledger, BOOT, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	rec = &list[0].record;
	assert_int_equal(rec->id, 1);
	assert_int_equal(rec->strategy, VP_STRATEGY_STOP);
	assert_string_equal(rec->note, "why");
	assert_int_equal(rec->nsites, 1);
	assert_int_equal(rec->sites[0].addr.v, 0xffffffff81000000);
	assert_int_equal(rec->sites[0].len, 2);
	assert_memory_equal(rec->sites[0].old_bytes, "\x66\x90", 2);
	assert_memory_equal(rec->sites[0].new_bytes, "\xeb\x10", 2);
	assert_int_equal(rec->sites[0].resume, VP_RESUME_FIXUP);
	assert_int_equal(rec->sites[0].fixup.v, 0xffff0000);
	assert_int_equal(rec->nwords, 2);
	assert_int_equal(rec->words[0].addr.v, 0x1000);
	assert_int_equal(rec->words[0].new_value, (uint32_t)-1);
	assert_int_equal(rec->words[1].addr.v, 0x2000);
	assert_true(vp_word_is_condition(&rec->words[1]));
	assert_string_equal(json_string_value(json_object_get(list[0].line, "kernel")), "6.1");
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(list[0].line, "sites"), 0), "symbol")),
		"symbol_ffffffff81000000");
	vp_ledger_batches_free(list, n);
}

static void test_what_stands(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vp_ledger_next_id(r->ledger), 1);
	applied(r, "poke", 1, 0x100);
	applied(r, "key-set", 2, 0x200);
	begin(r, "poke", 0, BOOT, 0x300);
	assert_int_equal(vp_ledger_end(r->ledger, "failed", 0, "changed", NULL), 0);
	applied(r, "poke", 3, 0x300);
	assert_int_equal(standing(r, BOOT), 123);
	applied(r, "revert", 2, 0x200);
	begin(r, "revert", 3, BOOT, 0x300);
	assert_int_equal(vp_ledger_end(r->ledger, "failed", 0, "changed", NULL), 0);
	reopen(r);
	assert_int_equal(standing(r, BOOT), 13);
	assert_int_equal(standing(r, BOOT + 1), 0); /* a reboot takes all of it away */
	assert_int_equal(vp_ledger_next_id(r->ledger), 4);
	assert_non_null(vp_ledger_line_of(r->ledger, 3));
	assert_null(vp_ledger_line_of(r->ledger, 4));
}

static void test_unfinished(void **state)
{
	struct rig *r = *state;
	struct vp_ledger_batch b;

	applied(r, "poke", 1, 0x100);
	assert_int_equal(vp_ledger_unfinished(r->ledger, BOOT, &b, NULL), 0);
	begin(r, "poke", 0, BOOT, 0x200);
	reopen(r); /* its writer has died */
	assert_int_equal(vp_ledger_unfinished(r->ledger, BOOT + 1, &b, NULL), 0);
	assert_int_equal(vp_ledger_unfinished(r->ledger, BOOT, &b, NULL), 1);
	assert_int_equal(b.record.sites[0].addr.v, 0x200);
	vp_ledger_batch_clear(&b);
	assert_int_equal(vp_ledger_end(r->ledger, "undone", 0, NULL, NULL), 0);
	reopen(r);
	assert_int_equal(vp_ledger_unfinished(r->ledger, BOOT, &b, NULL), 0);
	assert_int_equal(standing(r, BOOT), 1);
}

static void append_text(struct rig *r, const char *text)
{
	int fd = open(r->path, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* A cut line is dropped, and the next one does not stick to it; a bad one is refused. */
static void test_damaged(void **state)
{
	struct rig *r = *state;
	struct vp_err err = { "" };

	applied(r, "poke", 1, 0x100);
	append_text(r, "{\"seq\": 3, \"event\": \"beg");
	reopen(r);
	applied(r, "poke", 2, 0x200);
	reopen(r);
	assert_int_equal(standing(r, BOOT), 12);
	append_text(r, "no JSON\n");
	vp_ledger_close(r->ledger);
	r->ledger = NULL;
	assert_int_equal(open_ledger(r, &err), -EINVAL);
	assert_non_null(strstr(err.text, "line 5"));
}

/* What has grown long is put away when nothing in it stands; numbers and history go on. */
static void test_put_away(void **state)
{
	struct rig *r = *state;
	char path[80];
	struct stat st;
	json_t *lines;
	uint64_t id = 0;

	do { /* each a batch and its revert */
		applied(r, "poke", ++id, 0x100);
		applied(r, "revert", id, 0x100);
		assert_int_equal(stat(r->path, &st), 0);
	} while (st.st_size < 1 << 20);
	applied(r, "poke", ++id, 0x100);
	assert_int_equal(vp_ledger_rotate(r->ledger, BOOT, NULL), 0);
	assert_int_equal(standing(r, BOOT), id); /* one stands: it stays */
	applied(r, "revert", id, 0x100);
	assert_int_equal(vp_ledger_rotate(r->ledger, BOOT, NULL), 0);
	assert_int_equal(stat(r->path, &st), 0);
	assert_true(st.st_size < 1000);
	assert_int_equal(standing(r, BOOT), 0);
	assert_int_equal(vp_ledger_next_id(r->ledger), id + 1);
	applied(r, "poke", 7, 0x200);
	reopen(r);
	assert_int_equal(standing(r, BOOT), 7);
	lines = vp_ledger_history(r->ledger, NULL);
	assert_int_equal(json_array_size(lines), 4 * id + 3);
	for (size_t i = 0; i < json_array_size(lines); i++)
		assert_int_equal(
			json_integer_value(json_object_get(json_array_get(lines, i), "seq")),
			i + 1);
	json_decref(lines);
	snprintf(path, sizeof(path), "%s.1", r->path);
	assert_int_equal(unlink(path), 0);
}

/* Lines that are JSON, and nonsense. */
static void test_nonsense(void **state)
{
	struct rig *r = *state;
	struct vp_ledger_batch *list;
	struct vp_err err = { "" };
	size_t n;

	append_text(r, "{\"seq\": [], \"event\": 7}\n{}\n"
		       "{\"seq\": 1, \"event\": \"begin\", \"boot\": \"0x0\", \"sites\": "
		       "[{\"addr\": \"x\", \"old\": \"zz\", \"new\": 4}]}\n"
		       "{\"seq\": 2, \"event\": \"applied\", \"of\": 1, \"id\": 1}\n");
	reopen(r);
	assert_int_equal(vp_ledger_applied(r->ledger, 0, &list, &n, &err), -EINVAL);
	assert_null(list);
	assert_non_null(strstr(err.text, "line 1 makes no sense"));
	assert_int_equal(vp_ledger_applied(r->ledger, BOOT, &list, &n, &err), 0);
	vp_ledger_batches_free(list, n);
}

static void test_one_at_a_time(void **state)
{
	struct rig *r = *state;
	struct vp_ledger *second;
	struct vp_err err = { "" };
	struct stat st;

	assert_int_equal(vp_ledger_open(r->path, 0, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another vmpoke"));
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_no_room(void **state)
{
	struct vp_ledger *l;
	struct vp_err err = { "" };

	(void)state;
	assert_int_equal(vp_ledger_open("/proc/nowhere/x.jsonl", 0, &l, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_comes_back), T(test_one_word),	   T(test_what_stands),
		T(test_unfinished), T(test_damaged),	   T(test_put_away),
		T(test_nonsense),   T(test_one_at_a_time), cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
