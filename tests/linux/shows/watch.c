/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shows watch: a process on each CPU reads /proc/loadavg without end, and looks at each answer. On
 * SIGUSR1 it prints "READS CHANGES MIXTURES" of all of them. What is neither before nor after
 * three-together is printed when it is seen.
 */
#include "shows.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Of one CPU; on a cache line of its own. */
struct seen {
	unsigned long reads, changes, mixtures;
} __attribute__((aligned(64)));

static void watch_on(int cpu, struct seen *seen)
{
	const int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	enum shown last = WRONG;
	char text[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd < 0 || !pin(cpu)) {
		wrong("CPU %d: %s", cpu, strerror(errno));
		_exit(1);
	}
	for (;;) {
		const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
		enum shown now;

		text[n > 0 ? n : 0] = '\0';
		now = loadavg_is(text);
		__atomic_add_fetch(&seen->mixtures, now == WRONG, __ATOMIC_RELAXED);
		__atomic_add_fetch(&seen->changes, last != WRONG && now != last, __ATOMIC_RELAXED);
		__atomic_add_fetch(&seen->reads, 1, __ATOMIC_RELAXED);
		last = now;
	}
}

int watch_loadavg(void)
{
	const int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct seen *seen = mmap(NULL, (size_t)cpus * sizeof(*seen), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigset_t set;
	int sig;

	if (seen == MAP_FAILED)
		return wrong("mmap: %s", strerror(errno));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int cpu = 0; cpu < cpus; cpu++)
		if (fork() == 0)
			watch_on(cpu, &seen[cpu]);
	for (;;) {
		struct seen sum = { 0, 0, 0 };

		if (sigwait(&set, &sig))
			return 1;
		for (int cpu = 0; cpu < cpus; cpu++) {
			sum.reads += __atomic_load_n(&seen[cpu].reads, __ATOMIC_RELAXED);
			sum.changes += __atomic_load_n(&seen[cpu].changes, __ATOMIC_RELAXED);
			sum.mixtures += __atomic_load_n(&seen[cpu].mixtures, __ATOMIC_RELAXED);
		}
		printf("%lu %lu %lu\n", sum.reads, sum.changes, sum.mixtures);
		fflush(stdout);
	}
}
