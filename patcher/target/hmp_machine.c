/* SPDX-License-Identifier: Apache-2.0 */
/* What only the human monitor tells: the registers of the vCPUs, the map of the memory. */
#include "target/hmp.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- registers ---------------------------------------------------------------- */

/* The text of one vCPU: from its "CPU#N" line up to the next. */
struct section {
	const char *at, *end;
};

static const char *next_cpu(const char *text)
{
	while ((text = strstr(text, "CPU#")) && text[4] && !isdigit((unsigned char)text[4]))
		text += 4;
	return text;
}

unsigned int vp_hmp_vcpus(const char *text)
{
	unsigned int n = 0;

	for (text = next_cpu(text); text; text = next_cpu(text + 4))
		n++;
	return n;
}

static bool find_cpu(const char *text, unsigned int vcpu, struct section *s)
{
	for (text = next_cpu(text); text; text = next_cpu(text + 4)) {
		if (strtoul(text + 4, NULL, 10) != vcpu)
			continue;
		s->at = text + 4;
		s->end = next_cpu(s->at);
		if (!s->end)
			s->end = s->at + strlen(s->at);
		return true;
	}
	return false;
}

/* The @index-th hex number after "NAME=", which follows white space. */
static bool field(const struct section *s, const char *name, unsigned int index, uint64_t *value)
{
	size_t len = strlen(name);
	const char *at = s->at;
	char *end;

	while ((at = memmem(at, (size_t)(s->end - at), name, len))) {
		if (isspace((unsigned char)at[-1]) && at[len] == '=')
			break;
		at += len;
	}
	if (!at)
		return false;
	at += len + 1;
	for (;; index--) {
		at += strspn(at, " ");
		if (!isxdigit((unsigned char)*at))
			return false;
		*value = strtoull(at, &end, 16);
		if (end - at > 16 || end > s->end)
			return false;
		if (!index)
			return true;
		at = end;
	}
}

/* A vCPU in 16 or 32-bit mode is shown by other names (x86_cpu_dump_state() in QEMU). */
static const char *const names64[VP_GPR_COUNT + 2] = {
	"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8 ",
	"R9 ", "R10", "R11", "R12", "R13", "R14", "R15", "RIP", "RFL",
};
static const char *const names32[VP_GPR_COUNT + 2] = {
	"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", NULL,
	NULL,  NULL,  NULL,  NULL,  NULL,  NULL,  NULL,	 "EIP", "EFL",
};

static bool general(const struct section *s, struct vp_regs *regs)
{
	uint64_t probe;
	const char *const *names = field(s, "RIP", 0, &probe) ? names64 : names32;
	bool ok = true;

	for (unsigned int i = 0; i < VP_GPR_COUNT && ok; i++)
		ok = !names[i] || field(s, names[i], 0, &regs->gpr[i]);
	return ok && field(s, names[VP_GPR_COUNT], 0, &regs->rip) &&
	       field(s, names[VP_GPR_COUNT + 1], 0, &regs->rflags);
}

#define EFER_LMA (1ull << 10)
#define CS_L	 (1ull << 21) /* of the descriptor's second word, which is shown fourth */

int vp_hmp_registers(const char *text, unsigned int vcpu, struct vp_vcpu_state *state,
		     struct vp_err *err)
{
	struct section s;
	uint64_t cs = 0, ss = 0, flags = 0;
	bool ok;

	if (!find_cpu(text, vcpu, &s))
		return vp_err_set(err, -ENOENT, "there is no vCPU %u", vcpu);
	*state = (struct vp_vcpu_state){ 0 };
	ok = general(&s, &state->regs) && field(&s, "CS ", 0, &cs) &&
	     field(&s, "CS ", 1, &state->cs_base) && field(&s, "CS ", 3, &flags) &&
	     field(&s, "SS ", 0, &ss) && field(&s, "FS ", 1, &state->fs_base) &&
	     field(&s, "GS ", 1, &state->gs_base) && field(&s, "IDT", 0, &state->idt_base) &&
	     field(&s, "CR0", 0, &state->paging.cr0) && field(&s, "CR3", 0, &state->paging.cr3) &&
	     field(&s, "CR4", 0, &state->paging.cr4) && field(&s, "EFER", 0, &state->paging.efer);
	if (!ok || cs > 0xffff || ss > 0xffff)
		return vp_err_set(err, -EPROTO,
				  "QEMU's monitor shows the registers of vCPU %u in a way that "
				  "vmpoke does not know",
				  vcpu);
	state->cs = (uint16_t)cs;
	state->ss = (uint16_t)ss;
	state->code64 = state->paging.efer & EFER_LMA && flags & CS_L;
	return 0;
}

/* --- RAM ---------------------------------------------------------------------- */

/* "  START-END (prio N, ram): NAME": only "ram" is; "ramd" is a device's, "rom" takes no writes. */
static bool ram_line(const char *line, uint64_t *start, uint64_t *end)
{
	char kind[8];
	unsigned long long from, to;
	int prio;

	if (sscanf(line, " %16llx-%16llx (prio %d, %7[a-z/])", &from, &to, &prio, kind) != 4)
		return false;
	*start = from;
	*end = to;
	return !strcmp(kind, "ram");
}

static int add_range(struct vp_hmp_range *ranges, size_t *n, uint64_t start, uint64_t end)
{
	struct vp_hmp_range *last = *n ? &ranges[*n - 1] : NULL;

	if (end < start || end - start >= 1ull << 52 || (last && start < last->start + last->len))
		return -EPROTO;
	if (last && start == last->start + last->len) {
		last->len += end - start + 1;
		return 0;
	}
	if (*n == VP_HMP_RANGES)
		return -EPROTO;
	ranges[(*n)++] = (struct vp_hmp_range){ start, end - start + 1 };
	return 0;
}

int vp_hmp_ram(const char *text, struct vp_hmp_range *ranges, size_t *n, struct vp_err *err)
{
	const char *line = strstr(text, " AS \"memory\"");
	uint64_t start, end;
	int rc = 0;

	*n = 0;
	/* One view of the memory is one block of lines. */
	while (!rc && line && (line = strchr(line, '\n')) && line[1] != '\n' && line[1] != '\r') {
		line++;
		if (ram_line(line, &start, &end))
			rc = add_range(ranges, n, start, end);
	}
	if (rc || !*n)
		return vp_err_set(err, -EPROTO,
				  "QEMU's monitor shows no memory map that makes "
				  "sense (info mtree -f)");
	return 0;
}
