/* SPDX-License-Identifier: Apache-2.0 */
/* What only the human monitor tells: the registers of the vCPUs, the map of the memory. */
#include "target/hmp.h"
#include "x86/walk.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- registers ---------------------------------------------------------------- */

/* The text of one vCPU: from behind its "CPU#N" line up to the next. */
struct section {
	const char *at, *end;
};

/* The next line that begins with "CPU#". */
static const char *next_cpu(const char *text, const char *begin)
{
	while ((text = strstr(text, "CPU#")) && text > begin && text[-1] != '\n')
		text += 4;
	return text;
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
		if (end - at > 16 || end >= s->end || !isspace((unsigned char)*end))
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

#define CS_L (1ull << 21) /* of the descriptor's second word, which is shown fourth */

static bool read_section(const struct section *s, struct vp_vcpu_state *state)
{
	uint64_t cs = 0, ss = 0, flags = 0;
	bool ok =
		general(s, &state->regs) && field(s, "CS ", 0, &cs) &&
		field(s, "CS ", 1, &state->cs_base) && field(s, "CS ", 3, &flags) &&
		field(s, "SS ", 0, &ss) && field(s, "FS ", 1, &state->fs_base) &&
		field(s, "GS ", 1, &state->gs_base) && field(s, "IDT", 0, &state->idt_base) &&
		field(s, "CR0", 0, &state->paging.cr0) && field(s, "CR3", 0, &state->paging.cr3) &&
		field(s, "CR4", 0, &state->paging.cr4) && field(s, "EFER", 0, &state->paging.efer);

	state->cs = (uint16_t)cs;
	state->ss = (uint16_t)ss;
	state->code64 = state->paging.efer & VP_EFER_LMA && flags & CS_L;
	return ok && cs <= 0xffff && ss <= 0xffff;
}

/* "CPU#12" and the end of its line. */
static bool take_number(const char *at, unsigned int *number, const char **end)
{
	unsigned long value = 0;
	size_t digits = 0;

	for (at += 4; digits < 6 && isdigit((unsigned char)at[digits]); digits++)
		value = 10 * value + (unsigned long)(at[digits] - '0');
	*number = (unsigned int)value;
	*end = at + digits;
	return digits && (**end == '\r' || **end == '\n');
}

static size_t count(const char *text)
{
	const char *at = text;
	size_t n = 0;

	while ((at = next_cpu(at, text))) {
		at += 4;
		n++;
	}
	return n;
}

static int read_vcpus(const char *text, struct vp_hmp_vcpu *list, size_t n, struct vp_err *err)
{
	const char *at = next_cpu(text, text);

	for (size_t i = 0; i < n; i++) {
		struct section s = { 0 };

		if (!at || !take_number(at, &list[i].number, &s.at) ||
		    (i && list[i].number <= list[i - 1].number))
			return vp_hmp_unknown("info registers -a", at, err);
		if (list[i].number >= VP_VCPU_NUMBERS)
			return vp_err_set(err, -E2BIG,
					  "the VM has a vCPU %u: vmpoke looks at vCPUs up to %d",
					  list[i].number, VP_VCPU_NUMBERS - 1);
		at = next_cpu(s.at, text);
		s.end = at ? at : s.at + strlen(s.at);
		if (!read_section(&s, &list[i].state))
			return vp_err_set(err, -EPROTO,
					  "QEMU's monitor shows the registers of vCPU %u in a way "
					  "that vmpoke does not know",
					  list[i].number);
	}
	return 0;
}

int vp_hmp_registers(const char *text, struct vp_hmp_vcpu **vcpus, size_t *n, struct vp_err *err)
{
	size_t found = count(text);
	struct vp_hmp_vcpu *list;
	int rc;

	*vcpus = NULL;
	*n = 0;
	if (!found)
		return vp_hmp_unknown("info registers -a", text, err);
	list = calloc(found, sizeof(*list));
	if (!list)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = read_vcpus(text, list, found, err);
	if (rc) {
		free(list);
		return rc;
	}
	*vcpus = list;
	*n = found;
	return 0;
}

/* --- RAM ---------------------------------------------------------------------- */

/*
 * "  START-END (prio N, KIND): NAME". Of the kinds only "ram" is RAM: "ramd" is a device's, "rom"
 * takes no writes. False: it is no such line.
 */
static bool range_line(const char *line, uint64_t *start, uint64_t *end, bool *ram)
{
	unsigned long long from, to;
	char kind[12], close;
	int prio;

	if (sscanf(line, " %16llx-%16llx (prio %d, %11[a-z/-]%c", &from, &to, &prio, kind,
		   &close) != 5 ||
	    close != ')')
		return false;
	*start = from;
	*end = to;
	*ram = !strcmp(kind, "ram");
	return true;
}

/* " AS "NAME", root: ..." and " Root memory region: ..." stand before the ranges. */
static bool is_heading(const char *line)
{
	return !strncmp(line, " AS \"", 5) || !strncmp(line, " Root memory region:", 20);
}

static int add_range(struct vp_hmp_range *ranges, size_t *n, uint64_t start, uint64_t end)
{
	struct vp_hmp_range *last = *n ? &ranges[*n - 1] : NULL;

	if (end < start || end - start >= 1ull << 52 || (last && start < last->start + last->len))
		return -EPROTO;
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
	bool ram;

	*n = 0;
	/* One view of the memory is one block of lines. */
	while (!rc && line && (line = strchr(line, '\n')) && line[1] && line[1] != '\n' &&
	       line[1] != '\r') {
		line++;
		if (range_line(line, &start, &end, &ram))
			rc = ram ? add_range(ranges, n, start, end) : 0;
		else if (!is_heading(line))
			return vp_hmp_unknown("info mtree -f", line, err);
	}
	if (rc || !*n)
		return vp_err_set(err, -EPROTO,
				  "QEMU's monitor shows no memory map that makes "
				  "sense (info mtree -f)");
	return 0;
}

void vp_hmp_join(struct vp_hmp_range *ranges, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 1; i < *n; i++) {
		if (ranges[i].start == ranges[kept].start + ranges[kept].len)
			ranges[kept].len += ranges[i].len;
		else
			ranges[++kept] = ranges[i];
	}
	*n = *n ? kept + 1 : 0;
}

/* "Host virtual address for 0x100000 (pc.ram) is 0x7f59aff00000" */
int vp_hmp_host(const char *text, uint64_t gpa, uint64_t *host, struct vp_err *err)
{
	unsigned long long of = 0, at = 0;
	char line[128];
	int end = 0;

	vp_hmp_line(text, line, sizeof(line));
	if (sscanf(line, "Host virtual address for 0x%16llx (%*[^)]) is 0x%16llx%n", &of, &at,
		   &end) != 2 ||
	    !end || line[end] || of != gpa || !at)
		return vp_hmp_unknown("gpa2hva", text, err);
	*host = at;
	return 0;
}
