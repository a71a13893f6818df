/* SPDX-License-Identifier: Apache-2.0 */
/* What a person needs to see of a vCPU that cannot go on. */
#include "base/text.h"
#include "vmm/internal.h"
#include "x86/decode.h"
#include "x86/walk.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define INSNS_SHOWN 3u

/* Text that is built piece by piece and stays inside its buffer. */
struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= t->left)
		n = t->left ? (int)t->left - 1 : 0;
	t->at += n;
	t->left -= (size_t)n;
}

static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const void *from = vp_ram_at(arg, gpa.v, len);

	(void)err;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

/* Read up to @len bytes of code as the vCPU sees it; how many there are. */
static size_t read_code(struct vp_vm *vm, const struct kvm_sregs *sregs, uint64_t rip,
			uint8_t *code, size_t len)
{
	struct vp_paging paging = { sregs->cr0, sregs->cr3, sregs->cr4, sregs->efer };
	struct vp_phys_reader mem = { read_phys, &vm->ram };
	struct vp_map map;
	size_t n;

	for (n = 0; n < len; n++)
		if (vp_walk(&paging, &mem, VP_GVA(rip + n), &map, NULL) ||
		    read_phys(&vm->ram, map.gpa, &code[n], 1, NULL))
			break;
	return n;
}

static void add_code(struct text *t, const uint8_t *code, size_t len, uint64_t rip)
{
	struct vp_insn insn;
	char asm_text[96];
	size_t at = 0, i, n;

	if (!len) {
		add(t, "code: not mapped\n");
		return;
	}
	for (n = 0; n < INSNS_SHOWN && at < len; n++) {
		vp_gva addr = VP_GVA(rip + at);

		if (vp_insn_decode(code + at, len - at, addr, &insn, NULL) ||
		    vp_insn_format(code + at, len - at, addr, VP_SYNTAX_INTEL, asm_text,
				   sizeof(asm_text)) < 0)
			break;
		add(t, "  0x%016" PRIx64 ": ", addr.v);
		for (i = 0; i < insn.len; i++)
			add(t, "%02x ", code[at + i]);
		add(t, " %s\n", asm_text);
		at += insn.len;
	}
	if (at)
		return;
	add(t, "  0x%016" PRIx64 ": ", rip);
	for (i = 0; i < len && i < VP_INSN_MAX; i++)
		add(t, "%02x ", code[i]);
	add(t, "(no instruction)\n");
}

static void add_regs(struct text *t, const struct kvm_regs *r, const struct kvm_sregs *s)
{
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "rax", r->rax }, { "rbx", r->rbx }, { "rcx", r->rcx }, { "rdx", r->rdx },
		{ "rsi", r->rsi }, { "rdi", r->rdi }, { "rbp", r->rbp }, { "rsp", r->rsp },
		{ "r8", r->r8 },   { "r9", r->r9 },   { "r10", r->r10 }, { "r11", r->r11 },
		{ "r12", r->r12 }, { "r13", r->r13 }, { "r14", r->r14 }, { "r15", r->r15 },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		add(t, "%s=0x%016" PRIx64 "%s", all[i].name, all[i].value, i % 4 == 3 ? "\n" : " ");
	add(t,
	    "cr0=0x%" PRIx64 " cr2=0x%" PRIx64 " cr3=0x%" PRIx64 " cr4=0x%" PRIx64
	    " efer=0x%" PRIx64 "\n",
	    (uint64_t)s->cr0, (uint64_t)s->cr2, (uint64_t)s->cr3, (uint64_t)s->cr4,
	    (uint64_t)s->efer);
	add(t, "cs=0x%x ss=0x%x idt=0x%" PRIx64 "+0x%x rflags=0x%" PRIx64 "\n", s->cs.selector,
	    s->ss.selector, (uint64_t)s->idt.base, s->idt.limit, (uint64_t)r->rflags);
}

void vp_fault_text(struct vp_vcpu *c, const char *why, char *text, size_t size)
{
	struct text t = { text, size };
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint8_t code[INSNS_SHOWN * VP_INSN_MAX];
	const char *symbol;
	char name[64];
	uint64_t off = 0;

	if (ioctl(c->fd, KVM_GET_REGS, &regs) || ioctl(c->fd, KVM_GET_SREGS, &sregs)) {
		add(&t, "vCPU %u: %s (KVM does not give its registers)", c->id, why);
		return;
	}
	add(&t, "vCPU %u: %s at rip=0x%016" PRIx64, c->id, why, (uint64_t)regs.rip);
	symbol = vp_symtab_nearest(c->vm->symbols, VP_GVA(regs.rip), &off);
	if (symbol) {
		vp_text_copy(name, sizeof(name), symbol);
		add(&t, " (%s+0x%" PRIx64 ")", name, off);
	}
	add(&t, "\n");
	/* On AMD hosts KVM resets the vCPU at a triple fault: nothing is left to show. */
	if (!(sregs.cr0 >> 31 & 1))
		add(&t, "paging is off: the registers may be those after a reset\n");
	add_regs(&t, &regs, &sregs);
	add_code(&t, code, read_code(c->vm, &sregs, regs.rip, code, sizeof(code)), regs.rip);
	if (t.at > text && t.at[-1] == '\n')
		t.at[-1] = 0;
}
