/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the guest that sees the kernel's code change.
 *
 * One process a CPU asks for sched_get_priority_max(SCHED_FIFO), over and over: 99, an immediate
 * operand in the kernel's code that nothing else depends on. Each prints the first answer and every
 * answer that differs from the one before, as "cpu N: VALUE"; SIGUSR1 makes it print how often it
 * has asked, as "cpu N asked COUNT".
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t report;

static void on_report(int signal)
{
	(void)signal;
	report = 1;
}

static void watch(unsigned int cpu)
{
	unsigned long asked = 0;
	int last = -1;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("witness: sched_setaffinity");
	for (;;) {
		int now = sched_get_priority_max(SCHED_FIFO);

		asked++;
		if (now != last)
			printf("cpu %u: %d\n", cpu, now);
		last = now;
		if (report) {
			report = 0;
			printf("cpu %u asked %lu\n", cpu, asked);
		}
	}
}

int main(void)
{
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_report);
	for (unsigned int cpu = 1; cpu < cpus; cpu++)
		if (fork() == 0)
			watch(cpu);
	watch(0);
	return 0;
}
