/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines whose stacks lie at fixed addresses, so that a copy of the live part of a stack, put
 * back later, continues from where it was.
 */
#include <string.h>

#include "search.h"

#define STACK 0x10000u
/* Frames live at a yield lie within this; what is below is garbage that must not make states
 * differ. */
#define SCRUB 0x1000u

static uint8_t stacks[COROUTINES][STACK] __attribute__((aligned(64)));
static void *main_sp;
static unsigned int running;

/*
 * System V ABI: the registers pushed are those that a callee keeps. The others hold what the side
 * that is left had there. A compiler may store such a one, as the value of a variable that has none
 * yet, and so they are cleared: garbage on a stack must not make states differ.
 */
void coro_switch(void **save, void *to);
__asm__(".text\n"
	".globl coro_switch\n"
	".type coro_switch, @function\n"
	"coro_switch:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n"
	"	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n"
	"	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	xor %eax, %eax\n	xor %ecx, %ecx\n	xor %edx, %edx\n"
	"	xor %esi, %esi\n	xor %edi, %edi\n"
	"	xor %r8d, %r8d\n	xor %r9d, %r9d\n"
	"	xor %r10d, %r10d\n	xor %r11d, %r11d\n"
	"	ret\n"
	".size coro_switch, . - coro_switch\n");

void coro_start(unsigned int who, void (*entry)(void))
{
	void **top = (void **)(void *)(stacks[who] + STACK);

	*--top = NULL; /* entry() never returns */
	*--top = (void *)(uintptr_t)entry;
	for (int i = 0; i < 6; i++)
		*--top = NULL;
	core.sp[who] = top;
}

void coro_run(unsigned int who)
{
	memset((uint8_t *)core.sp[who] - SCRUB, 0, SCRUB);
	running = who;
	coro_switch(&main_sp, core.sp[who]);
}

void coro_yield(void)
{
	coro_switch(&core.sp[running], main_sp);
}

unsigned int coro_running(void)
{
	return running;
}

size_t coro_live(unsigned int who)
{
	return core.sp[who] ? (size_t)(stacks[who] + STACK - (uint8_t *)core.sp[who]) : 0;
}
