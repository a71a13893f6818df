/* SPDX-License-Identifier: Apache-2.0 */
/* The VM as a whole: made, ended, asked about. */
#include "vmm/kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RAM_DEFAULT	  (64ull << 20)
#define RAM_DEFAULT_LINUX (512ull << 20)
#define RAM_MIN		  (16ull << 20)
/* Above this come the APICs and the pages that KVM itself needs on Intel hosts. */
#define RAM_MAX		 (3ull << 30)
#define KVM_IDENTITY_MAP 0xfffbc000ull
#define KVM_TSS		 0xfffbd000ul
#define SERIAL_IRQ	 4u /* COM1 of a PC */

static int config_check(const struct vp_vm_config *cfg, uint64_t ram_bytes, struct vp_err *err)
{
	if (cfg->vcpus < 1 || cfg->vcpus > VP_VCPU_MAX)
		return vp_err_set(err, -EINVAL, "%u vCPUs: there may be 1 to %d", cfg->vcpus,
				  VP_VCPU_MAX);
	if (ram_bytes < RAM_MIN || ram_bytes > RAM_MAX || ram_bytes % VP_PAGE_2M)
		return vp_err_set(err, -EINVAL,
				  "%" PRIu64 " bytes of RAM: give a multiple of 2 MiB from "
				  "16 MiB to 3 GiB",
				  ram_bytes);
	return 0;
}

static int make_ram(struct vp_vm *vm, uint64_t bytes, struct vp_err *err)
{
	void *base;

	vm->ram_fd = memfd_create("vmpoke-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Clients get this descriptor: none of them may pull the memory away from under us. */
	if (vm->ram_fd < 0 || ftruncate(vm->ram_fd, (off_t)bytes) ||
	    fcntl(vm->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return vp_err_set(err, -errno, "cannot make %" PRIu64 " bytes of guest RAM: %s",
				  bytes, strerror(errno));
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, vm->ram_fd, 0);
	if (base == MAP_FAILED)
		return vp_err_set(err, -errno, "cannot map %" PRIu64 " bytes of guest RAM: %s",
				  bytes, strerror(errno));
	vm->ram = (struct vp_ram){ base, bytes };
	/* Nor may they write: only mappings made so far can (Linux 5.1; older ones go without). */
	fcntl(vm->ram_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	return 0;
}

static int open_kvm(struct vp_vm *vm, const struct vp_vm_config *cfg, struct vp_err *err)
{
	int rc;

	vm->kvm_fd = vp_kvm_open(cfg->kvm_path, err);
	if (vm->kvm_fd < 0)
		return vm->kvm_fd;
	rc = vp_probe_kvm(vm->kvm_fd, &vm->probe, err);
	if (rc)
		return rc;
	if (!vm->probe.immediate_exit)
		return vp_err_set(err, -ENODEV,
				  "this KVM lacks KVM_CAP_IMMEDIATE_EXIT: it takes Linux 4.11");
	vm->max_vcpus = VP_VCPU_MAX;
	if (vm->probe.max_vcpus < VP_VCPU_MAX)
		vm->max_vcpus = vm->probe.max_vcpus;
	if (cfg->vcpus > vm->max_vcpus)
		return vp_err_set(err, -EINVAL, "%u vCPUs: this KVM can do %u", cfg->vcpus,
				  vm->max_vcpus);
	return 0;
}

static int make_irqchip(struct vp_vm *vm, struct vp_err *err)
{
	/* Port 0x61 reads as on a PC: Linux may measure its TSC by it. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (!vm->probe.irqchip)
		return vp_err_set(err, -EOPNOTSUPP,
				  "%s asks for interrupts, but this KVM has no irqchip and PIT",
				  vm->image_what);
	if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0))
		return vp_err_set(err, -errno, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit))
		return vp_err_set(err, -errno, "KVM_CREATE_PIT2: %s", strerror(errno));
	return 0;
}

static int make_kvm(struct vp_vm *vm, struct vp_err *err)
{
	struct kvm_userspace_memory_region slot = {
		.memory_size = vm->ram.bytes,
		.userspace_addr = (uintptr_t)vm->ram.base,
	};
	uint64_t identity_map = KVM_IDENTITY_MAP;
	int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(struct kvm_run))
		return vp_err_set(err, -EIO, "KVM_GET_VCPU_MMAP_SIZE: %d", size);
	vm->run_size = (size_t)size;
	vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->vm_fd < 0)
		return vp_err_set(err, -errno, "KVM_CREATE_VM: %s", strerror(errno));
	/* Needed by kvm_intel only; others may not know them. */
	ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS);
	if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return vp_err_set(err, -errno, "KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
	return vm->cpu.irqchip ? make_irqchip(vm, err) : 0;
}

/* What the vCPUs can do, after what was asked for and what was found out about this KVM. */
static void choose_cpu(struct vp_vm *vm)
{
	vm->cpu.irqchip = vm->is_linux || vm->image.irqchip;
	vm->cpu.tsc_deadline = vm->cpu.irqchip && ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION,
							KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	/* The emulator does not know the instruction; on others it never has to. */
	vm->cpu.no_cx16 = vm->probe.int3.route == VP_ROUTE_INTERNAL_ERROR;
	if (vm->is_linux && vm->cpu.no_cx16)
		snprintf(vm->notice, sizeof(vm->notice),
			 "this host's KVM emulates kernel mode in software: the guest is shown no "
			 "CX16, and Linux boots very slowly");
}

static void serial_irq(void *arg, bool level)
{
	const struct vp_vm *vm = arg;
	struct kvm_irq_level line = { .irq = SERIAL_IRQ, .level = level };

	/* Cannot fail while the VM lives. */
	ioctl(vm->vm_fd, KVM_IRQ_LINE, &line);
}

static int make_target(struct vp_vm *vm, enum vp_serializer serializer, struct vp_err *err)
{
	const struct vp_local_config config = { .route = vp_vm_route(vm),
						.serializer = serializer };
	int rc;

	rc = vp_local_new(&config, &vm->local, err);
	if (!rc)
		rc = vp_local_add_ram(vm->local, VP_GPA(0), vm->ram.base, vm->ram.bytes, 0, err);
	if (!rc)
		rc = vp_engine_new(vp_local_target(vm->local), &vm->engine, err);
	return rc;
}

static struct vp_vm *vm_alloc(const struct vp_vm_config *cfg)
{
	struct vp_vm *vm = calloc(1, sizeof(*vm));
	unsigned int i;

	if (!vm)
		return NULL;
	vm->name = strdup(cfg->name ? cfg->name : "vm");
	vm->image_what = cfg->image_what ? cfg->image_what : "the guest image";
	vm->boot_vcpus = cfg->vcpus;
	vm->kvm_fd = vm->vm_fd = vm->ram_fd = -1;
	vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&vm->adding, NULL);
	pthread_mutex_init(&vm->lock, NULL);
	vp_cond_init(&vm->changed);
	for (i = 0; i < VP_VCPU_MAX; i++) {
		vm->vcpus[i].vm = vm;
		vm->vcpus[i].id = i;
		vm->vcpus[i].fd = -1;
	}
	return vm;
}

int vp_vm_create(const struct vp_vm_config *cfg, struct vp_vm **out, struct vp_err *err)
{
	bool is_linux = vp_kernel_is_linux(cfg->image, cfg->image_len);
	uint64_t ram_bytes =
		cfg->ram_bytes ? cfg->ram_bytes : (is_linux ? RAM_DEFAULT_LINUX : RAM_DEFAULT);
	struct vp_vm *vm;
	int rc;

	rc = config_check(cfg, ram_bytes, err);
	if (rc)
		return rc;
	vm = vm_alloc(cfg);
	if (!vm || !vm->name || vm->end_fd < 0) {
		rc = vp_err_set(err, -ENOMEM, "out of memory");
		goto out;
	}
	vm->is_linux = is_linux;
	/* The file first: what is wrong with it can be told without KVM, too. */
	rc = make_ram(vm, ram_bytes, err);
	if (!rc)
		rc = vp_guest_make(vm, cfg, err);
	if (!rc)
		rc = open_kvm(vm, cfg, err);
	if (!rc)
		choose_cpu(vm);
	if (!rc)
		rc = make_kvm(vm, err);
	if (!rc)
		rc = make_target(vm, cfg->serializer, err);
	if (!rc)
		rc = vp_serial_new(cfg->console_fd, is_linux ? serial_irq : NULL, vm, &vm->serial,
				   err);
out:
	if (rc)
		vp_vm_destroy(vm);
	else
		*out = vm;
	return rc;
}

static void vcpus_free(struct vp_vm *vm)
{
	unsigned int i;

	for (i = 0; i < VP_VCPU_MAX; i++) {
		struct vp_vcpu *c = &vm->vcpus[i];

		if (c->joinable)
			pthread_join(c->thread, NULL);
		if (c->run)
			munmap(c->run, vm->run_size);
		if (c->fd >= 0)
			close(c->fd);
		vp_state_free(c->power_on);
	}
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vp_vm_destroy(struct vp_vm *vm)
{
	if (!vm)
		return;
	vp_vm_quit(vm);
	vcpus_free(vm);
	vp_serial_free(vm->serial);
	vp_engine_free(vm->engine); /* no vCPU is left, so nothing is unfinished */
	vp_local_free(vm->local);
	vp_image_free(&vm->image);
	free(vm->kernel);
	vp_symtab_free(vm->symbols);
	close_if(vm->vm_fd);
	close_if(vm->kvm_fd);
	if (vm->ram.base)
		munmap(vm->ram.base, vm->ram.bytes);
	close_if(vm->ram_fd);
	close_if(vm->end_fd);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	pthread_mutex_destroy(&vm->adding);
	free(vm->name);
	free(vm);
}

void vp_vm_quit(struct vp_vm *vm)
{
	vp_vm_end(vm, VP_VM_HOST_QUIT, 0, "ended from outside");
}

bool vp_vm_wait(struct vp_vm *vm, int timeout_ms, struct vp_vm_status *st)
{
	struct timespec end = vp_deadline(timeout_ms < 0 ? 0 : (unsigned int)timeout_ms);
	bool ended;
	int rc = 0;

	pthread_mutex_lock(&vm->lock);
	while (vm->status.end == VP_VM_RUNNING && !rc) {
		if (timeout_ms < 0)
			pthread_cond_wait(&vm->changed, &vm->lock);
		else
			rc = pthread_cond_timedwait(&vm->changed, &vm->lock, &end);
	}
	*st = vm->status;
	ended = st->end != VP_VM_RUNNING;
	pthread_mutex_unlock(&vm->lock);
	return ended;
}

int vp_vm_end_fd(struct vp_vm *vm)
{
	return vm->end_fd;
}

size_t vp_vm_input(struct vp_vm *vm, const uint8_t *bytes, size_t n)
{
	return vp_serial_input(vm->serial, bytes, n);
}

bool vp_vm_is_linux(struct vp_vm *vm)
{
	return vm->is_linux;
}

const char *vp_vm_notice(struct vp_vm *vm)
{
	return *vm->notice ? vm->notice : NULL;
}

struct vp_engine *vp_vm_engine(struct vp_vm *vm)
{
	return vm->engine;
}

struct vp_local *vp_vm_local(struct vp_vm *vm)
{
	return vm->local;
}

const struct vp_symtab *vp_vm_symbols(struct vp_vm *vm)
{
	return vm->symbols;
}

const char *vp_vm_name(struct vp_vm *vm)
{
	return vm->name;
}

int vp_vm_ram_fd(struct vp_vm *vm)
{
	return vm->ram_fd;
}

uint64_t vp_vm_ram_bytes(struct vp_vm *vm)
{
	return vm->ram.bytes;
}

enum vp_trap_route vp_vm_route(struct vp_vm *vm)
{
	return vp_local_route(&vm->probe.int3);
}

void *vp_vm_image_hva(struct vp_vm *vm, vp_gva addr, size_t len)
{
	size_t i;

	for (i = 0; i < vm->image.nparts; i++) {
		const struct vp_image_part *p = &vm->image.parts[i];
		uint64_t off = addr.v - p->vaddr;

		if (off < p->bytes && len <= p->bytes - off)
			return vp_ram_at(&vm->ram, p->paddr + off, len);
	}
	return NULL;
}
