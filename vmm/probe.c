/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM can do. How an int3 comes out cannot be asked for: a tiny VM executes one
 * at CPL 0 with guest debug armed, then runs again at the same place, and then gets it reinjected.
 */
#include "vmm/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TINY_RAM      (4ull << 20)
#define TINY_CODE_GPA 0x100000ull
#define TINY_IDT_GPA  0x101000ull
#define TINY_CODE     0xffffffff80000000ull
#define TINY_HANDLER  0x10u
#define PORT_HANDLER  0x80u
#define PORT_BEHIND   0x81u
#define NOP	      0x90u

#define GATE_INT 0x8e00u /* present, DPL 0, 64-bit interrupt gate */

/* The int3 stands at 0, the #BP handler at TINY_HANDLER. */
static const uint8_t tiny_code[] = {
	0xcc,		   /* int3 */
	0xe6, PORT_BEHIND, /* out %al, $0x81: what is behind it */
	0xf4,		   /* hlt */
	0xf4, 0xf4,	    0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4,
	0xf4, 0xf4,	    0xf4, 0x48, 0x8b, 0x04, 0x24, /* mov (%rsp), %rax: the RIP it sees */
	0xe6, PORT_HANDLER,				  /* out %al, $0x80 */
	0xf4,						  /* hlt */
};

struct tiny {
	int vm_fd, fd;
	struct vp_boot boot;
	struct vp_power_on *power_on;
	struct kvm_run *run;
	size_t run_size;
};

int vp_kvm_open(const char *path, struct vp_err *err)
{
	const char *dev = path ? path : "/dev/kvm";
	int fd = open(dev, O_RDWR | O_CLOEXEC), version, rc;

	if (fd < 0) {
		rc = -errno;
		if (rc == -ENOENT)
			return vp_err_set(
				err, rc,
				"%s is missing: load kvm-intel or kvm-amd (modprobe), enable "
				"virtualization "
				"in the firmware, or nested virtualization if this is a VM",
				dev);
		if (rc == -EACCES || rc == -EPERM)
			return vp_err_set(
				err, rc,
				"no permission on %s: join the group kvm (usermod -aG kvm "
				"USER, log in again) or run as root",
				dev);
		if (rc == -ENODEV || rc == -ENXIO)
			return vp_err_set(err, rc,
					  "%s has no driver behind it: load kvm-intel or kvm-amd",
					  dev);
		return vp_err_set(err, rc, "cannot open %s: %s", dev, strerror(-rc));
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version == KVM_API_VERSION)
		return fd;
	close(fd);
	if (version < 0)
		return vp_err_set(err, -ENODEV, "%s is not KVM: give the path of /dev/kvm", dev);
	return vp_err_set(err, -EIO, "%s speaks KVM API %d, not %d: update the kernel", dev,
			  version, KVM_API_VERSION);
}

static void probe_module(struct vp_probe *p)
{
	static const char *const names[] = { "kvm_intel", "kvm_amd", "kvm_pvm" };
	char path[64];
	size_t i;

	snprintf(p->module, sizeof(p->module), "unknown");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s", names[i]);
		if (!access(path, F_OK))
			snprintf(p->module, sizeof(p->module), "%s", names[i]);
	}
}

static bool has_membarrier(void)
{
	long got = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return got > 0 && got & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;
}

static void tiny_idt(const struct vp_ram *ram)
{
	uint64_t to = TINY_CODE + TINY_HANDLER;
	uint64_t gate[2] = {
		(to & 0xffff) | VP_GUEST_CS << 16 | (uint64_t)GATE_INT << 32 |
			(to >> 16 & 0xffff) << 48,
		to >> 32,
	};

	memcpy(vp_ram_at(ram, TINY_IDT_GPA + BP_VECTOR * sizeof(gate), sizeof(gate)), gate,
	       sizeof(gate));
}

static int tiny_failed(struct vp_err *err, const char *what)
{
	int rc = -errno;

	return vp_err_set(err, rc, "probing KVM: %s: %s", what, strerror(-rc));
}

static int tiny_memory(struct tiny *t, struct vp_err *err)
{
	struct vp_ram ram = { .bytes = TINY_RAM };
	int rc;

	ram.base = mmap(NULL, TINY_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram.base == MAP_FAILED)
		return tiny_failed(err, "cannot make RAM");
	rc = vp_boot_init(&t->boot, ram, err);
	if (!rc)
		rc = vp_boot_map(&t->boot, TINY_CODE, TINY_CODE_GPA, false, true);
	vp_boot_write(&t->boot, 1);
	memcpy(vp_ram_at(&ram, TINY_CODE_GPA, sizeof(tiny_code)), tiny_code, sizeof(tiny_code));
	tiny_idt(&ram);
	return rc;
}

static int tiny_new(int kvm_fd, struct tiny *t, struct vp_err *err)
{
	struct kvm_userspace_memory_region slot = { .memory_size = TINY_RAM };
	const struct vp_cpu cpu = { 0 };
	struct vp_entry entry;
	int rc = tiny_memory(t, err);

	if (rc)
		return rc;
	slot.userspace_addr = (uintptr_t)t->boot.ram.base;
	t->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (t->vm_fd < 0)
		return tiny_failed(err, "KVM_CREATE_VM");
	ioctl(t->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* kvm_intel wants it, others may not */
	if (ioctl(t->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return tiny_failed(err, "KVM_SET_USER_MEMORY_REGION");
	t->fd = ioctl(t->vm_fd, KVM_CREATE_VCPU, 0);
	if (t->fd < 0)
		return tiny_failed(err, "KVM_CREATE_VCPU");
	t->run_size = (size_t)ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	t->run = mmap(NULL, t->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (t->run == MAP_FAILED)
		return tiny_failed(err, "cannot map kvm_run");
	rc = vp_state_capture(kvm_fd, t->fd, 0, &cpu, &t->power_on, err);
	if (rc)
		return rc;
	vp_state_power_on(t->power_on, &entry);
	vp_boot_entry(&t->boot, 0, VP_GVA(TINY_CODE), &entry.sregs, &entry.regs);
	entry.sregs.idt.base = VP_GUEST_DIRECT_MAP + TINY_IDT_GPA;
	entry.sregs.idt.limit = 0xfff;
	return vp_state_reset(t->fd, 0, t->power_on, &entry, err);
}

static void tiny_free(struct tiny *t)
{
	vp_state_free(t->power_on);
	if (t->run && t->run != MAP_FAILED)
		munmap(t->run, t->run_size);
	if (t->fd >= 0)
		close(t->fd);
	if (t->vm_fd >= 0)
		close(t->vm_fd);
	if (t->boot.ram.base)
		munmap(t->boot.ram.base, TINY_RAM);
}

static int tiny_run(struct tiny *t)
{
	int rc;

	do {
		rc = ioctl(t->fd, KVM_RUN, 0);
	} while (rc && (errno == EINTR || errno == EAGAIN));
	return rc ? -errno : 0;
}

/* Run into the int3: how does that come out? */
static enum vp_trap_route tiny_route(struct tiny *t)
{
	const struct kvm_run *run = t->run;
	struct kvm_regs regs;

	if (tiny_run(t) || ioctl(t->fd, KVM_GET_REGS, &regs) || regs.rip != TINY_CODE)
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
static bool tiny_drop_ud(struct tiny *t)
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
static bool tiny_rerun(struct tiny *t, enum vp_trap_route route)
{
	uint8_t *code = vp_ram_at(&t->boot.ram, TINY_CODE_GPA, 1);
	const struct kvm_run *run = t->run;
	struct kvm_regs regs;
	bool ok = tiny_drop_ud(t) && tiny_route(t) == route && tiny_drop_ud(t);

	__atomic_store_n(code, NOP, __ATOMIC_SEQ_CST);
	ok = ok && !tiny_run(t) && run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_BEHIND;
	__atomic_store_n(code, VP_INT3, __ATOMIC_SEQ_CST);
	/* The port write is complete only after the next KVM_RUN (KVM api.rst, "KVM_EXIT_IO"). */
	t->run->immediate_exit = 1;
	ok = ok && ioctl(t->fd, KVM_RUN, 0) && errno == EINTR;
	t->run->immediate_exit = 0;
	if (!ok || ioctl(t->fd, KVM_GET_REGS, &regs))
		return false;
	regs.rip = TINY_CODE;
	return !ioctl(t->fd, KVM_SET_REGS, &regs) && tiny_route(t) == route;
}

/* Reinject as the local target does, and see what RIP the guest's handler finds on its stack. */
static bool tiny_inject(struct tiny *t, enum vp_trap_route route)
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
	    tiny_run(t) || ioctl(t->fd, KVM_GET_REGS, &regs))
		return false;
	return run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_HANDLER &&
	       regs.rax == TINY_CODE + 1;
}

static void tiny_probe(struct tiny *t, struct vp_probe *out)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };

	out->route = ioctl(t->fd, KVM_SET_GUEST_DEBUG, &debug) ? VP_ROUTE_NONE : tiny_route(t);
	if (out->route == VP_ROUTE_NONE)
		return;
	out->rerun_ok = tiny_rerun(t, out->route);
	out->inject_ok = tiny_inject(t, out->route);
}

int vp_probe_kvm(int kvm_fd, struct vp_probe *out, struct vp_err *err)
{
	struct tiny tiny = { .vm_fd = -1, .fd = -1 };
	int rc;

	*out = (struct vp_probe){ .api_version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0) };
	rc = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	out->max_vcpus = rc > 0 ? (unsigned int)rc : 4; /* KVM api.rst, 4.7 */
	out->immediate_exit = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0;
	out->guest_debug = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) > 0;
	out->irqchip = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0 &&
		       ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_PIT2) > 0;
	out->membarrier_sync_core = has_membarrier();
	probe_module(out);
	rc = tiny_new(kvm_fd, &tiny, err);
	if (!rc)
		tiny_probe(&tiny, out);
	tiny_free(&tiny);
	return rc;
}
