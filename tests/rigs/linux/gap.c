/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the guest that sees its vCPUs stand still: one process a CPU reads the clock for so
 * many seconds. It prints the longest time between two readings, in us, of all of them.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double watch(unsigned int cpu, double end)
{
	double last = now_us(), longest = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (last < end) {
		double now = now_us();

		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	return longest;
}

int main(int argc, char **argv)
{
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	double *of = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double end = now_us() + (argc > 1 ? atof(argv[1]) : 1) * 1e6, longest = 0;

	if (of == MAP_FAILED || cpus > 512)
		return 1;
	for (unsigned int i = 0; i < cpus; i++)
		if (!fork()) {
			of[i] = watch(i, end);
			return 0;
		}
	while (wait(NULL) > 0)
		;
	for (unsigned int i = 0; i < cpus; i++)
		longest = of[i] > longest ? of[i] : longest;
	printf("%.0f\n", longest);
	return 0;
}
