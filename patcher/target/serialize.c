/* SPDX-License-Identifier: Apache-2.0 */
#include <cpuid.h>
#include <stdbool.h>

#include "target/serialize.h"

/* RDSSPQ leaves its operand alone where there is no shadow stack, also on old CPUs (it is a nop
 * there). */
static bool has_shadow_stack(void)
{
	unsigned long ssp = 0;

	__asm__ volatile("rdsspq %0" : "+r"(ssp));
	return ssp != 0;
}

static void iret_to_self(void)
{
	unsigned long tmp;

	/* Step over the red zone first: the compiler may keep live data there. */
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "mov %%rsp, %0\n\t"
			 "push %%rax\n\t"
			 "mov %%ss, %%eax\n\t"
			 "xchg %%rax, (%%rsp)\n\t" /* rax is back, ss is on the stack */
			 "push %0\n\t"
			 "pushfq\n\t"
			 "push %%rax\n\t"
			 "mov %%cs, %%eax\n\t"
			 "xchg %%rax, (%%rsp)\n\t"
			 "lea 1f(%%rip), %0\n\t"
			 "push %0\n\t"
			 "iretq\n"
			 "1:\tlea 128(%%rsp), %%rsp"
			 : "=&r"(tmp)
			 :
			 : "cc", "memory");
}

#define HAS_SERIALIZE (1u << 14) /* CPUID.(7,0):EDX; SDM vol. 2, SERIALIZE */

static void choose(void);

/* Chosen by whoever comes first; that several choose at once does no harm. */
static void (*how)(void) = choose;

static void serialize(void)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xe8" ::: "memory");
}

static void cpuid(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
}

/* Threads may differ in having a shadow stack. */
static void iret_or_cpuid(void)
{
	if (has_shadow_stack())
		cpuid();
	else
		iret_to_self();
}

static void choose(void)
{
	unsigned int a, b, c, d = 0;
	bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & HAS_SERIALIZE;

	__atomic_store_n(&how, has ? serialize : iret_or_cpuid, __ATOMIC_RELAXED);
	vp_serialize();
}

void vp_serialize(void)
{
	void (*chosen)(void) = __atomic_load_n(&how, __ATOMIC_RELAXED);

	chosen();
}
