/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Basic types of vmpoke: guest addresses, error texts, registers.
 *
 * Everything here is plain data: no function allocates, blocks or takes a lock,
 * and each may be called from any thread.
 */
#ifndef VMPOKE_TYPES_H
#define VMPOKE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Guest-virtual and guest-physical addresses are distinct wrapped types, so that
 * the compiler catches a mix-up. Host-virtual addresses are ordinary pointers.
 */
typedef struct {
	uint64_t v;
} vp_gva;

typedef struct {
	uint64_t v;
} vp_gpa;

#ifdef __cplusplus
#define VP_GVA(x) (vp_gva{ (uint64_t)(x) })
#define VP_GPA(x) (vp_gpa{ (uint64_t)(x) })
#else
#define VP_GVA(x) ((vp_gva){ (uint64_t)(x) })
#define VP_GPA(x) ((vp_gpa){ (uint64_t)(x) })
#endif

/* The longest x86 instruction, in bytes (SDM vol. 2, section 2.3.11). */
#define VP_INSN_MAX 15

/* The int3 opcode. */
#define VP_INT3 0xccu

/* The most vCPUs of one VM that vmpoke itself runs. */
#define VP_VCPU_MAX 64

/* Of any VM that it patches: vCPU numbers are below this. More are refused. */
#define VP_VCPU_NUMBERS 4096

/*
 * Why a call failed, as one line of text: what failed, where, what to do next.
 * Owned by the caller; a function that returns 0 leaves it alone. Every function
 * that takes one also accepts NULL.
 */
struct vp_err {
	char text[256];
};

/*
 * Write a text into @err (which may be NULL) and return @code, so that a caller
 * can write: return vp_err_set(err, -EINVAL, "site %zu: ...", i);
 */
int vp_err_set(struct vp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The registers that decide how a guest-virtual address is translated. */
struct vp_paging {
	uint64_t cr0;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t efer;
};

/* Numbers of the general purpose registers, as instructions encode them. */
enum vp_gpr {
	VP_RAX,
	VP_RCX,
	VP_RDX,
	VP_RBX,
	VP_RSP,
	VP_RBP,
	VP_RSI,
	VP_RDI,
	VP_R8,
	VP_R9,
	VP_R10,
	VP_R11,
	VP_R12,
	VP_R13,
	VP_R14,
	VP_R15,
	VP_GPR_COUNT,
};

/* The registers of one vCPU that a resume rule may read or change. */
struct vp_regs {
	uint64_t gpr[VP_GPR_COUNT];
	uint64_t rip;
	uint64_t rflags;
};

/* What is known of one vCPU at one moment. */
struct vp_vcpu_state {
	struct vp_regs regs;
	struct vp_paging paging;
	bool code64; /* it runs 64-bit code (CS.L), where CS has no base */
	bool nested; /* all this is of a guest that the guest runs itself; false: or nobody can tell
		      */
	uint16_t cs, ss;
	uint64_t cs_base; /* added to RIP unless code64 */
	uint64_t fs_base, gs_base;
	uint64_t kernel_gs_base; /* 0: the target cannot tell */
	uint64_t idt_base;	 /* 0: the target cannot tell */
};

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_TYPES_H */
