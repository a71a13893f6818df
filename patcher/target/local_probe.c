/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an int3 comes out of this host's KVM cannot be asked for: a tiny VM of our own executes one
 * at CPL 0 with guest debug armed, then runs again at the same place, and then gets it reinjected.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "target/local_probe.h"

/* Guest-physical; all of it is mapped at BASE. */
#define PML4	0x1000u
#define PDPT	0x2000u
#define PD	0x3000u
#define PT	0x4000u
#define GDT	0x5000u
#define TSS	0x5100u
#define IDT	0x6000u
#define STACK	0x7000u
#define CODE	0x8000u
#define RAM_END 0x9000u

#define BASE	  0xffffffff80000000ull
#define TSS_BYTES 0x68u

#define CS 0x08u
#define DS 0x10u
#define TR 0x18u

#define PTE 0x63ull /* present, writable, accessed, dirty (SDM vol. 3, 4.5.4) */

/* "64-bit code, accessed", "data, writable, accessed", "64-bit TSS, busy" (SDM vol. 3, 3.4.5). */
#define DESC_CODE     0x00af9b000000ffffull
#define DESC_DATA     0x00cf93000000ffffull
#define DESC_TSS_BUSY 0x00008b0000000000ull
#define GATE_INT      0x8e00ull /* present, DPL 0, 64-bit interrupt gate */

#define HANDLER	     0x10u /* in the code */
#define PORT_HANDLER 0x80u
#define PORT_BEHIND  0x81u
#define NOP	     0x90u

/* The int3 stands at 0, the #BP handler at HANDLER. */
static const uint8_t code[] = {
	VP_INT3,	      /* int3 */
	0xe6,	 PORT_BEHIND, /* out %al, $0x81: what is behind it */
	0xf4,		      /* hlt */
	0xf4,	 0xf4,	       0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4,
	0xf4,	 0xf4,	       0xf4, 0x48, 0x8b, 0x04, 0x24, /* mov (%rsp), %rax: the RIP it sees */
	0xe6,	 PORT_HANDLER,				     /* out %al, $0x80 */
	0xf4,						     /* hlt */
};

struct tiny {
	int vm_fd, fd;
	uint8_t *ram;
	struct kvm_run *run;
	size_t run_size;
};

static int failed(struct vp_err *err, const char *what)
{
	int rc = -errno;

	return vp_err_set(err, rc, "probing KVM: %s: %s", what, strerror(-rc));
}

/* --- the VM ------------------------------------------------------------------- */

static void put(struct tiny *t, uint64_t gpa, uint64_t value)
{
	memcpy(t->ram + gpa, &value, sizeof(value));
}

static void fill_memory(struct tiny *t)
{
	uint64_t to = BASE + CODE + HANDLER, tss = BASE + TSS;

	put(t, PML4 + 8 * (BASE >> 39 & 511), PDPT | PTE);
	put(t, PDPT + 8 * (BASE >> 30 & 511), PD | PTE);
	put(t, PD + 8 * (BASE >> 21 & 511), PT | PTE);
	for (uint64_t page = 0; page < RAM_END; page += 0x1000)
		put(t, PT + 8 * ((BASE + page) >> 12 & 511), page | PTE);

	put(t, GDT + CS, DESC_CODE);
	put(t, GDT + DS, DESC_DATA);
	/* The base is spread over the descriptor. */
	put(t, GDT + TR,
	    DESC_TSS_BUSY | (TSS_BYTES - 1) | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56);
	put(t, GDT + TR + 8, tss >> 32);
	t->ram[TSS + 0x66] = TSS_BYTES; /* I/O map base beyond the limit: no map */

	put(t, IDT + BP_VECTOR * 16,
	    (to & 0xffff) | CS << 16 | GATE_INT << 32 | (to >> 16 & 0xffff) << 48);
	put(t, IDT + BP_VECTOR * 16 + 8, to >> 32);
	memcpy(t->ram + CODE, code, sizeof(code));
}

static int make_memory(struct tiny *t, struct vp_err *err)
{
	void *ram = mmap(NULL, RAM_END, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		return failed(err, "cannot make RAM");
	t->ram = ram;
	fill_memory(t);
	return 0;
}

/* All that this KVM can do. */
static int set_cpuid(int kvm_fd, int fd, struct vp_err *err)
{
	const uint32_t n = 256;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));
	int rc = 0;

	if (!cpuid)
		return vp_err_set(err, -ENOMEM, "probing KVM: out of memory");
	cpuid->nent = n;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(fd, KVM_SET_CPUID2, cpuid))
		rc = failed(err, "cannot set the CPUID");
	free(cpuid);
	return rc;
}

static int set_registers(const struct tiny *t, struct vp_err *err)
{
	const struct kvm_segment null = { .unusable = 1 };
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = DS,
		.type = 3,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
	struct kvm_regs regs = {
		.rip = BASE + CODE,
		.rflags = 2,
		.rsp = BASE + STACK + 0xff8,
	};
	struct kvm_sregs s;

	if (ioctl(t->fd, KVM_GET_SREGS, &s))
		return failed(err, "KVM_GET_SREGS");
	s.ss = s.ds = s.es = s.cs = data;
	s.cs.selector = CS;
	s.cs.type = 11;
	s.cs.l = 1;
	s.cs.db = 0;
	s.fs = s.gs = s.ldt = null;
	s.tr = (struct kvm_segment){
		.base = BASE + TSS,
		.limit = TSS_BYTES - 1,
		.selector = TR,
		.type = 11,
		.present = 1,
	};
	s.gdt = (struct kvm_dtable){ .base = BASE + GDT, .limit = 5 * 8 - 1 };
	s.idt = (struct kvm_dtable){ .base = BASE + IDT, .limit = 0xfff };
	s.cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
	s.cr3 = PML4;
	s.cr4 = 0x620;	/* OSXMMEXCPT, OSFXSR, PAE */
	s.efer = 0xd01; /* NXE, LMA, LME, SCE */
	if (ioctl(t->fd, KVM_SET_SREGS, &s) || ioctl(t->fd, KVM_SET_REGS, &regs))
		return failed(err, "cannot set the registers");
	return 0;
}

static int make_vm(int kvm_fd, struct vp_err *err)
{
	int fd;

	do { /* a signal of the VMM's may come (KVM's MMU notifier waits for a lock) */
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? failed(err, "KVM_CREATE_VM") : fd;
}

static int tiny_new(int kvm_fd, struct tiny *t, struct vp_err *err)
{
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_END };
	int rc = make_memory(t, err), size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	if (rc)
		return rc;
	if (size < (int)sizeof(struct kvm_run))
		return vp_err_set(err, -EIO, "probing KVM: KVM_GET_VCPU_MMAP_SIZE: %d", size);
	t->vm_fd = make_vm(kvm_fd, err);
	if (t->vm_fd < 0)
		return t->vm_fd;
	ioctl(t->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* kvm_intel wants it, others may not */
	slot.userspace_addr = (uintptr_t)t->ram;
	if (ioctl(t->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return failed(err, "KVM_SET_USER_MEMORY_REGION");
	t->fd = ioctl(t->vm_fd, KVM_CREATE_VCPU, 0);
	if (t->fd < 0)
		return failed(err, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (run == MAP_FAILED)
		return failed(err, "cannot map kvm_run");
	t->run = run;
	t->run_size = (size_t)size;
	rc = set_cpuid(kvm_fd, t->fd, err);
	return rc ? rc : set_registers(t, err);
}

static void tiny_free(struct tiny *t)
{
	if (t->run)
		munmap(t->run, t->run_size);
	if (t->fd >= 0)
		close(t->fd);
	if (t->vm_fd >= 0)
		close(t->vm_fd);
	if (t->ram)
		munmap(t->ram, RAM_END);
}

/* --- what it does --------------------------------------------------------------- */

static int run_it(struct tiny *t)
{
	int rc;

	do {
		rc = ioctl(t->fd, KVM_RUN, 0);
	} while (rc && (errno == EINTR || errno == EAGAIN));
	return rc ? -errno : 0;
}

/* Run into the int3: how does that come out? */
static enum vp_trap_route route_of(struct tiny *t)
{
	const struct kvm_run *run = t->run;
	struct kvm_regs regs;

	if (run_it(t) || ioctl(t->fd, KVM_GET_REGS, &regs) || regs.rip != BASE + CODE)
		return VP_ROUTE_NONE;
	if (run->exit_reason == KVM_EXIT_DEBUG && run->debug.arch.exception == BP_VECTOR)
		return VP_ROUTE_DEBUG;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 1 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES &&
	    run->emulation_failure.insn_size >= 1 &&
	    run->emulation_failure.insn_bytes[0] == VP_INT3)
		return VP_ROUTE_INTERNAL_ERROR;
	return VP_ROUTE_NONE;
}

/* As vp_local_trap() does: a KVM that failed to emulate the int3 has queued a #UD. */
static bool drop_ud(struct tiny *t)
{
	struct kvm_vcpu_events events;

	if (ioctl(t->fd, KVM_GET_VCPU_EVENTS, &events))
		return false;
	if (events.exception.nr != UD_VECTOR)
		return true;
	events.flags = 0;
	events.exception.injected = events.exception.pending = 0;
	return !ioctl(t->fd, KVM_SET_VCPU_EVENTS, &events);
}

/*
 * After the exit: run again, twice. While the int3 stands it comes out once more, and when another
 * instruction stands there, that one is run. Last, all is as before this.
 */
static bool reruns(struct tiny *t, enum vp_trap_route route)
{
	uint8_t *at = t->ram + CODE;
	const struct kvm_run *run = t->run;
	struct kvm_regs regs;
	bool ok = drop_ud(t) && route_of(t) == route && drop_ud(t);

	__atomic_store_n(at, NOP, __ATOMIC_SEQ_CST);
	ok = ok && !run_it(t) && run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_BEHIND;
	__atomic_store_n(at, VP_INT3, __ATOMIC_SEQ_CST);
	/* The port write is complete only after the next KVM_RUN (KVM api.rst, "KVM_EXIT_IO"). */
	t->run->immediate_exit = 1;
	ok = ok && ioctl(t->fd, KVM_RUN, 0) && errno == EINTR;
	t->run->immediate_exit = 0;
	if (!ok || ioctl(t->fd, KVM_GET_REGS, &regs))
		return false;
	regs.rip = BASE + CODE;
	return !ioctl(t->fd, KVM_SET_REGS, &regs) && route_of(t) == route;
}

/* Reinject as the local target does, and see what RIP the guest's handler finds on its stack. */
static bool injects(struct tiny *t, enum vp_trap_route route)
{
	const struct kvm_run *run = t->run;
	struct kvm_vcpu_events events;
	struct kvm_regs regs;

	if (ioctl(t->fd, KVM_GET_REGS, &regs) || ioctl(t->fd, KVM_GET_VCPU_EVENTS, &events))
		return false;
	/* A KVM that intercepted the int3 knows its length and moves RIP by itself. */
	if (route == VP_ROUTE_INTERNAL_ERROR)
		regs.rip++;
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.nr = BP_VECTOR;
	events.exception.has_error_code = 0;
	if (ioctl(t->fd, KVM_SET_REGS, &regs) || ioctl(t->fd, KVM_SET_VCPU_EVENTS, &events) ||
	    run_it(t) || ioctl(t->fd, KVM_GET_REGS, &regs))
		return false;
	return run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_HANDLER &&
	       regs.rax == BASE + CODE + 1;
}

static void look(struct tiny *t, struct vp_local_found *out)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };

	out->route = ioctl(t->fd, KVM_SET_GUEST_DEBUG, &debug) ? VP_ROUTE_NONE : route_of(t);
	if (out->route == VP_ROUTE_NONE)
		return;
	out->rerun_ok = reruns(t, out->route);
	out->inject_ok = injects(t, out->route);
}

int vp_local_look(int kvm_fd, struct vp_local_found *out, struct vp_err *err)
{
	struct tiny tiny = { .vm_fd = -1, .fd = -1 };
	int rc;

	*out = (struct vp_local_found){ .route = VP_ROUTE_NONE };
	if (ioctl(kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return vp_err_set(err, -EINVAL,
				  "probing KVM: descriptor %d is not that of /dev/kvm", kvm_fd);
	rc = tiny_new(kvm_fd, &tiny, err);
	if (!rc)
		look(&tiny, out);
	tiny_free(&tiny);
	return rc;
}

/*
 * A trap that cannot be given back to the guest is no route: its own int3s would be lost. Nor is
 * one after which the guest cannot go on at the same place.
 */
enum vp_trap_route vp_local_route(const struct vp_local_found *found)
{
	return found->inject_ok && found->rerun_ok ? found->route : VP_ROUTE_NONE;
}

int vp_local_probe(int kvm_fd, enum vp_trap_route *route, struct vp_err *err)
{
	struct vp_local_found found;
	int rc = vp_local_look(kvm_fd, &found, err);

	if (!rc)
		*route = vp_local_route(&found);
	return rc;
}
