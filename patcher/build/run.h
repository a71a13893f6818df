/* SPDX-License-Identifier: Apache-2.0 */
/* Run a program of the build to its end, or until somebody wants us to stop. */
#ifndef VP_BUILD_RUN_H
#define VP_BUILD_RUN_H

#include <vmpoke/types.h>

struct vp_run {
	char *const *argv;
	const char *tmpdir; /* where the program puts its temporary files */
	int stop_fd;	    /* readable: kill it and all that it started; -1: nothing stops it */
};

/* Is there a program @name, a path or to be found on $PATH? */
bool vp_run_finds(const char *name);

/*
 * Run it without input and with an environment of our own, in a process group of its own. What it
 * says on stdout and stderr becomes *@said (malloc()ed, ends with a NUL, cut at 1 MiB; NULL on
 * error); *@status is its exit code, or 128 and the signal that ended it. When this returns none
 * of the processes that hold its output is left. -ECANCELED: stopped; -errno: it cannot be
 * started.
 */
int vp_run(const struct vp_run *run, char **said, int *status, struct vp_err *err);

#endif /* VP_BUILD_RUN_H */
