/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hotfix as a compiler makes it, with the kernel's code model and its entry calls: what
 * test_link_run.c links and really runs. What it refers to and does not have is the test's.
 */
#include <vmpoke/hotfix.h>

extern int host_add(int a, int b);
extern int host_counter;
extern int host_local; /* the test's world has two of them */
extern void __fentry__(void);

int fix_call(int x);
int fix_static(void);
int fix_switch(int x);
const char *fix_text(int x);
int fix_pointer(int x);
int fix_tail(int x);
int fix_before(void);
int fix_local(void);
extern int (*fix_writable)(int);

int fix_call(int x)
{
	host_counter += x;
	return host_add(x, 5) * 2;
}

int fix_static(void)
{
	static int begun = 40;
	static int zero;

	zero++;
	return ++begun + zero;
}

/* Dense and with calls: a jump table in read-only data. */
int fix_switch(int x)
{
	switch (x) {
	case 0:
		return host_add(x, 100);
	case 1:
		return host_add(7, x);
	case 2:
		return fix_static();
	case 3:
		return host_counter;
	case 4:
		return host_add(1, 1) - 9;
	case 5:
		return host_add(x, x) * x;
	default:
		return -1;
	}
}

static const char *const words[] = { "none", "one", "two", "three" };

const char *fix_text(int x)
{
	return x < 4 ? words[x] : "many";
}

static int twice(int x)
{
	return 2 * x;
}

static int thrice(int x)
{
	return 3 * x + host_add(0, 1);
}

static int (*const functions[])(int) = { twice, thrice, fix_call };
int (*fix_writable)(int) = thrice;

int fix_pointer(int x)
{

	return functions[x % 3](x) + fix_writable(x);
}

int fix_tail(int x)
{
	return host_add(x, 1);
}

int fix_before(void)
{
	return fix_static() > 0 ? 0 : -1;
}

int fix_local(void)
{
	return host_local;
}

VMPOKE_HOTFIX("run", "1.0", "what the linker's test runs");
VMPOKE_FOR("6.1.0-56-amd64");
VMPOKE_FOR_BUILD_ID("0123456789abcdef0123456789abcdef01234567");
VMPOKE_REPLACE(old_call, fix_call);
VMPOKE_REPLACE_NTH(2, old_static, fix_static);
VMPOKE_REPLACE_IN("kernel/some.c", old_switch, fix_switch);
/* The formatter would put a space into the name. */
/* clang-format off */
VMPOKE_REPLACE_BESIDE(old_call, old_text.isra.0, fix_text);
/* clang-format on */
VMPOKE_REPLACE_OF("a_module", old_pointer, fix_pointer);
VMPOKE_REPLACE(old_tail, fix_tail);
VMPOKE_REPLACE(old_local, fix_local);
VMPOKE_SYMBOL_NTH(2, host_local);
VMPOKE_BEFORE_APPLY(fix_before);
VMPOKE_AFTER_REMOVE(host_add);
