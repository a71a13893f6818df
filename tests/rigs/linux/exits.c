/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the guest that does nothing but exits to the VMM: N times `out` to port 0x80, and
 * how many cycles of the TSC one took. On hosts that Bochs emulates those are instructions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <x86intrin.h>

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long long best = ~0ull;

	if (!n || ioperm(0x80, 1, 1)) {
		perror("exits N");
		return 1;
	}
	for (unsigned long i = 0; i < n; i++) {
		unsigned long long took = __rdtsc();

		for (int k = 0; k < 100; k++)
			outb(0, 0x80);
		took = __rdtsc() - took;
		if (took < best)
			best = took;
	}
	printf("%llu\n", best / 100);
	return 0;
}
