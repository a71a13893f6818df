/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole guest for `vmpoke run`, after docs/guest-abi.md. Each vCPU calls answer() without end,
 * and says so when it gets another number than before. The answer 0 ends the guest.
 */
#include <stdint.h>
#include <vmpoke/guest.h>

#include "guest.h"

volatile struct seen seen[VP_GUEST_VCPU_MAX];

uint32_t answer(void);
void start(uint64_t id, const volatile struct vp_boot_info *info);

/*
 * The instruction to be replaced. Its first three bytes end a cache line and the other two begin
 * the next, so that no CPU would fetch them in one go if they were just overwritten.
 */
__asm__(".text\n"
	".balign 64\n"
	".skip 61, 0xcc\n"
	".globl answer\n"
	"answer:\n"
	"	mov $0x11111111, %eax\n"
	"	ret\n");

static void out(uint16_t port, uint8_t byte)
{
	__asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"(port));
}

static void print(const char *text)
{
	while (*text)
		out(VP_PORT_CONSOLE, (uint8_t)*text++);
}

static void print_hex(uint32_t number)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		out(VP_PORT_CONSOLE, (uint8_t) "0123456789abcdef"[number >> shift & 15]);
}

/* A line at a time: the vCPUs share the console. */
static void tell(uint64_t id, uint32_t number)
{
	static uint32_t busy;

	while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	print("vCPU ");
	out(VP_PORT_CONSOLE, (uint8_t)('0' + id / 10));
	out(VP_PORT_CONSOLE, (uint8_t)('0' + id % 10));
	print(": the answer is 0x");
	print_hex(number);
	print("\n");
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

/* The entry: every vCPU begins here, on a stack of its own. There is nothing to go back to. */
void start(uint64_t id, const volatile struct vp_boot_info *info)
{
	volatile struct seen *mine = &seen[id];

	for (;;) {
		uint32_t number = answer();

		if (number != (number & 0xff) * 0x01010101u)
			mine->torn++;
		if (number != mine->answer)
			tell(id, number);
		mine->answer = number;
		mine->calls++;
		if (!number)
			out(VP_PORT_EXIT, 0);
		if (info->give_up[id])
			out(VP_PORT_GIVE_UP, 0);
	}
}
