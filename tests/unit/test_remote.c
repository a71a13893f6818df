/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of QEMU behind the control commands, from the fake QEMU up. */
#include "qemu_fixture.h"

#include "control/remote.h"

#include <jansson.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

struct rig {
	struct fake_qemu *q;
	char dir[40], target[80];
	struct vp_remote *r;
	struct vp_err err;
};

static int setup(void **state)
{
	struct rig *f = calloc(1, sizeof(*f));

	f->q = fake_qemu_new();
	strcpy(f->dir, "/tmp/vmpoke-remote-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->target, sizeof(f->target), "qemu+qmp:%s", f->q->qmp_path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct rig *f = *state;
	char command[80];

	vp_remote_close(f->r, NULL);
	fake_qemu_free(f->q);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void open_remote(struct rig *f)
{
	struct vp_remote_config cfg = {
		.state_dir = f->dir,
		.timeout_ms = HANG_MS,
	};

	if (vp_remote_open(f->target, &cfg, &f->r, &f->err))
		fail_msg("%s", f->err.text);
}

static json_t *ask(struct rig *f, const char *command)
{
	json_t *ret = NULL;

	if (vp_remote_call(f->r, command, json_object(), &ret, &f->err))
		fail_msg("%s: %s", command, f->err.text);
	return ret;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static void test_describes(void **state)
{
	struct rig *f = *state;
	json_t *vm;

	open_remote(f);
	vm = ask(f, "query-vm");
	assert_string_equal(text(vm, "name"), "fake");
	assert_string_equal(text(vm, "state"), "running");
	assert_string_equal(text(vm, "accel"), "tcg");
	assert_int_equal(json_integer_value(json_object_get(vm, "vcpus")), 2);
	assert_int_equal(json_integer_value(json_object_get(vm, "pid")), getpid());
	assert_int_equal(json_array_size(json_object_get(vm, "strategies")), 1);
	assert_null(json_object_get(vm, "confidential"));
	json_decref(vm);
}

/* What `vmpoke COMMAND qemu+qmp:...` prints on both of its outputs, and its exit code. */
static int command_line(struct rig *f, const char *command, const char *args, char *out,
			size_t size)
{
	char self[PATH_MAX], line[2 * PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	FILE *pipe;
	size_t n;
	int rc;

	assert_true(len > 0);
	self[len] = 0;
	*strrchr(self, '/') = 0;
	snprintf(line, sizeof(line),
		 "VMPOKE_STATE_DIR=%s VMPOKE_RUNTIME_DIR=%s timeout 60 %s/../vmpoke %s qemu+qmp:%s "
		 "%s 2>&1",
		 f->dir, f->dir, self, command, f->q->qmp_path, args);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	n = fread(out, 1, size - 1, pipe);
	out[n] = 0;
	rc = pclose(pipe);
	assert_true(WIFEXITED(rc));
	return WEXITSTATUS(rc);
}

static void test_confidential_cli(void **state)
{
	struct rig *f = *state;
	char out[4096];

	f->q->confidential = "tdx-guest";
	if (command_line(f, "info", "", out, sizeof(out)))
		fail_msg("%s", out);
	assert_non_null(strstr(out, "TDX: to patch it from outside is impossible by design\n"));
	if (command_line(f, "info", "--json", out, sizeof(out)))
		fail_msg("%s", out);
	assert_non_null(strstr(out, "TDX"));
	if (command_line(f, "poke", "0xffffffff81000000 --old 90 --new cc", out, sizeof(out)) != 10)
		fail_msg("%s", out);
	assert_non_null(strstr(out, "confidential guest (TDX)"));
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
}

/* Looking works, and says why nothing else does. */
static void test_confidential(void **state)
{
	struct rig *f = *state;
	json_t *vm, *ret = NULL, *poke;
	uint8_t before[16];

	f->q->confidential = "sev-snp-guest";
	f->q->sev = FAKE_SEV_ON;
	f->q->sev_type = "sev-snp";
	open_remote(f);
	vm = ask(f, "query-vm");
	assert_string_equal(text(vm, "confidential"), "SEV-SNP");
	assert_int_equal(json_array_size(json_object_get(vm, "strategies")), 0);
	json_decref(vm);

	memcpy(before, f->q->ram + 0x100000, sizeof(before));
	poke = json_pack("{s:[{s:s, s:s, s:s}]}", "sites", "addr", "0xffffffff81000000", "old",
			 "90", "new", "cc");
	assert_int_equal(vp_remote_call(f->r, "poke", poke, &ret, &f->err), -ENOKEY);
	assert_non_null(strstr(f->err.text, "SEV-SNP"));
	assert_int_equal(vp_remote_call(f->r, "query-kernel", json_object(), &ret, &f->err),
			 -ENOKEY);
	assert_int_equal(vp_remote_call(f->r, "query-registers", json_object(), &ret, &f->err),
			 -ENOKEY);
	assert_memory_equal(before, f->q->ram + 0x100000, sizeof(before));
	assert_int_equal(f->q->stops, 0);
}

/* Who looks at what it left is told, stops nothing and resumes nothing; who would write may not. */
static void test_killed(void **state)
{
	struct rig *f = *state;
	json_t *vm, *ret = NULL, *poke;
	unsigned int stops;

	be_killed(&(struct vp_qemu_config){ .keeper = "vmpoke",
					    .qmp_path = f->q->qmp_path,
					    .state_dir = f->dir,
					    .timeout_ms = HANG_MS });
	stops = f->q->stops;
	open_remote(f);
	vm = ask(f, "query-vm");
	assert_string_equal(text(vm, "state"), "paused");
	assert_non_null(strstr(text(vm, "attention"), "vmpoke recover"));
	json_decref(vm);
	assert_non_null(strstr(vp_remote_attention(f->r), "vmpoke recover"));
	json_decref(ask(f, "query-registers"));
	json_decref(ask(f, "query-pokes"));
	poke = json_pack("{s:[{s:s, s:s, s:s}]}", "sites", "addr", "0xffffffff81000000", "old",
			 "90", "new", "cc");
	assert_int_equal(vp_remote_call(f->r, "poke", poke, &ret, &f->err), -EUCLEAN);
	assert_non_null(strstr(f->err.text, "vmpoke recover"));
	assert_int_equal(vp_remote_close(f->r, &f->err), 0);
	f->r = NULL;
	assert_int_equal(f->q->stops, stops);
	assert_int_equal(f->q->resumes, 0);
	assert_false(f->q->running);
}

/* What another program has left half done stands in its own record: ours would let the VM run so.
 */
static void test_killed_other_keeper(void **state)
{
	const struct vp_recover how = { 0 };
	struct rig *f = *state;
	const struct vp_remote_config recovering = {
		.state_dir = f->dir,
		.timeout_ms = HANG_MS,
		.recover = &how,
	};
	unsigned int stops;
	char target[200];

	be_killed(&(struct vp_qemu_config){ .keeper = "my-agent",
					    .qmp_path = f->q->qmp_path,
					    .state_dir = f->dir,
					    .timeout_ms = HANG_MS });
	stops = f->q->stops;
	snprintf(target, sizeof(target), "qemu+qmp:%s", f->q->qmp_path);
	assert_int_equal(vp_remote_open(target, &recovering, &f->r, &f->err), -EUCLEAN);
	assert_non_null(strstr(f->err.text, "my-agent"));
	assert_int_equal(f->q->stops, stops);
	assert_int_equal(f->q->resumes, 0);
	assert_false(f->q->running);

	open_remote(f); /* who looks is told so, too */
	assert_non_null(strstr(vp_remote_attention(f->r), "my-agent"));
	assert_null(strstr(vp_remote_attention(f->r), "vmpoke recover"));
	assert_int_equal(vp_remote_close(f->r, &f->err), 0);
	f->r = NULL;
	assert_false(f->q->running);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_describes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_confidential, setup, teardown),
		cmocka_unit_test_setup_teardown(test_confidential_cli, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_other_keeper, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
