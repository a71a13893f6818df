/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are run to their end, or not. */
#include "unit.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "build/run.h"

static int sh(const char *command, int stop_fd, char **said, int *status)
{
	char text[512];
	char *argv[] = { "sh", "-c", text, NULL };
	const struct vp_run run = { .argv = argv, .tmpdir = "/tmp/ours", .stop_fd = stop_fd };
	struct vp_err err = { "" };
	int rc;

	snprintf(text, sizeof(text), "%s", command);
	rc = vp_run(&run, said, status, &err);
	assert_int_equal(rc != 0, err.text[0] != '\0');
	return rc;
}

static void expect(const char *command, const char *want, int code)
{
	char *said;
	int status;

	assert_int_equal(sh(command, -1, &said, &status), 0);
	assert_string_equal(said, want);
	assert_int_equal(status, code);
	free(said);
}

static void programs(void **state)
{
	(void)state;
	expect("echo out; echo err >&2; exit 3", "out\nerr\n", 3);
	expect("read line; echo \"$?\"", "1\n", 0); /* no input */
	expect("kill -9 $$", "", 128 + SIGKILL);
	setenv("MAKEFLAGS", "-n", 1);
	setenv("KCFLAGS", "-DX", 1);
	expect("echo $MAKEFLAGS$KCFLAGS $LC_ALL $TMPDIR", "C /tmp/ours\n", 0);
	unsetenv("MAKEFLAGS");
	unsetenv("KCFLAGS");
	/* A pipe whose reader is gone ends a program, as it does elsewhere. */
	expect("(sleep 0.1; echo x; echo alive >&2) 2>&1 | true; echo end", "end\n", 0);
}

static void much_output(void **state)
{
	char *said;
	int status;

	(void)state;
	assert_int_equal(sh("yes | head -c 3000000; exit 7", -1, &said, &status), 0);
	assert_int_equal(strlen(said), 1u << 20);
	assert_int_equal(status, 7);
	free(said);
}

static void programs_found(void **state)
{
	(void)state;
	assert_true(vp_run_finds("sh"));
	assert_true(vp_run_finds("/bin/sh"));
	assert_false(vp_run_finds("no-such-program-here"));
	assert_false(vp_run_finds("/bin"));
	assert_false(vp_run_finds("/etc/passwd"));
	assert_false(vp_run_finds(""));
}

static bool is_there(pid_t pid)
{
	char path[64], line[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return line[0] && !strstr(line, ") Z");
}

/* Stopped: nothing that it started is left, not even what listens to no SIGTERM. */
static void stopped(void **state)
{
	static const char *const commands[] = {
		"sleep 100 & echo $! >&3; wait",
		"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >&3; while :; do sleep 0.05; done' & "
		"wait",
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char name[] = "/tmp/vmpoke-unit-run-XXXXXX", command[512], *said;
		int stop[2], status, fd = mkstemp(name), pid = 0;
		FILE *f;

		assert_true(fd >= 0 && !pipe(stop));
		snprintf(command, sizeof(command), "exec 3>%s; %s", name, commands[i]);
		if (!fork()) { /* stops it when the grandchild has said its number */
			char c;

			while (pread(fd, &c, 1, 0) != 1)
				usleep(5000);
			usleep(20000);
			_exit(write(stop[1], "x", 1) != 1);
		}
		assert_int_equal(sh(command, stop[0], &said, &status), -ECANCELED);
		assert_null(said);
		f = fdopen(fd, "r");
		assert_int_equal(fscanf(f, "%d", &pid), 1);
		assert_true(pid > 1);
		/* It has let go of our pipe; the rest of its end may take a moment. */
		for (int ms = 0; ms < 5000 && is_there(pid); ms++)
			usleep(1000);
		assert_false(is_there(pid));
		fclose(f);
		close(stop[0]);
		close(stop[1]);
		unlink(name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs),
		cmocka_unit_test(much_output),
		cmocka_unit_test(programs_found),
		cmocka_unit_test(stopped),
	};

	return cmocka_run_group_tests_name("build_run", tests, NULL, NULL);
}
