/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole VMM that replaces an instruction of its guest while that runs. It boots ../guest with two
 * vCPUs, has it give another answer POKES times (4), and looks at what it has seen:
 *
 *	vmm ../guest/guest.elf [POKES]
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmpoke/guest.h>
#include <vmpoke/local.h>
#include <vmpoke/poke.h>
#include <vmpoke/symbol.h>

#include "../guest/guest.h"

#define VCPUS	   2
#define RAM_SIZE   (16ull << 20)
#define TABLES	   (RAM_SIZE - VP_GUEST_TABLES_SIZE)
#define IMAGE_BASE 0xffffffff80000000ull /* where the image has guest-physical 0 */

static int kvm_fd, vm_fd;
static uint8_t *ram;
static uint64_t entry;			 /* of the guest */
static vp_gva answer;			 /* its instruction that is replaced */
static const volatile struct seen *seen; /* what each vCPU tells, in its RAM */
static struct vp_local *local;
static struct vp_engine *engine;
static struct vp_local_config config;
static struct vp_err err; /* of the main thread */

/* @why NULL: what errno says. */
static void need(bool ok, const char *what, const char *why)
{
	if (ok)
		return;
	fprintf(stderr, "vmm: %s: %s\n", what, why ? why : strerror(errno));
	exit(1);
}

/* The guest's file into RAM. Nothing in it is believed. */
static void load(const char *path)
{
	static const char lies[] = "not all of it lies in the file and in RAM";
	static uint8_t image[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t len = f ? fread(image, 1, sizeof(image), f) : 0;
	struct vp_symtab *symbols;
	Elf64_Ehdr head;
	Elf64_Phdr p;
	vp_gva at;

	need(f, path, NULL);
	fclose(f);
	need(!vp_symtab_load(image, len, path, &symbols, &err) && /* it is an ELF64 of x86-64 */
		     !vp_symtab_find(symbols, "answer", &answer, &err) &&
		     !vp_symtab_find(symbols, "seen", &at, &err),
	     "load", err.text);
	vp_symtab_free(symbols);
	need(at.v >= IMAGE_BASE && at.v < IMAGE_BASE + TABLES, path, lies);
	seen = (const void *)(ram + (at.v - IMAGE_BASE));
	memcpy(&head, image, sizeof(head));
	entry = head.e_entry;
	for (size_t i = 0; i < head.e_phnum; i++) {
		need(head.e_phoff < len && (i + 1) * sizeof(p) <= len - head.e_phoff, path, lies);
		memcpy(&p, image + head.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type != PT_LOAD)
			continue;
		need(p.p_offset <= len && p.p_filesz <= len - p.p_offset &&
			     p.p_paddr >= VP_GUEST_IMAGE_MIN && p.p_paddr <= TABLES &&
			     p.p_filesz <= p.p_memsz && p.p_memsz <= TABLES - p.p_paddr,
		     path, lies);
		memcpy(ram + p.p_paddr, image + p.p_offset, p.p_filesz);
	}
}

/* All of RAM, at the direct map and at where the image was linked; all rights, pages of 2 MiB. */
static void make_tables(void)
{
	uint64_t *pml4 = (uint64_t *)(ram + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;

	pml4[VP_GUEST_DIRECT_MAP >> 39 & 511] = pml4[511] = (TABLES + 0x1000) | 0x23;
	pdpt[0] = pdpt[510] = (TABLES + 0x2000) | 0x23;
	for (uint64_t gpa = 0; gpa < RAM_SIZE; gpa += 2 << 20)
		pd[gpa >> 21] = gpa | 0xe3;
}

/* The state that docs/guest-abi.md promises, as far as this guest has a use for it. */
static void set_entry(int fd, uint64_t id)
{
	struct kvm_regs regs = { .rip = entry, .rflags = 2, .rdi = id };
	struct kvm_sregs sregs;

	regs.rsi = VP_GUEST_DIRECT_MAP + VP_GUEST_BOOT_INFO;
	regs.rsp = VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS + (id + 1) * VP_GUEST_STACK_SIZE - 8;
	need(!ioctl(fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS", NULL);
	sregs.cs.selector = VP_GUEST_CS;
	sregs.cs.base = 0;
	sregs.cs.l = 1;
	sregs.cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
	sregs.cr3 = TABLES;
	sregs.cr4 = 0x620;  /* OSXMMEXCPT, OSFXSR, PAE */
	sregs.efer = 0x500; /* LMA, LME */
	need(!ioctl(fd, KVM_SET_SREGS, &sregs) && !ioctl(fd, KVM_SET_REGS, &regs), "entry", NULL);
}

/* The thread of a vCPU. vmpoke wants three calls of it. */
static void *run_vcpu(void *arg)
{
	unsigned int id = (unsigned int)(uintptr_t)arg;
	int fd = ioctl(vm_fd, KVM_CREATE_VCPU, id), rc;
	size_t size = (size_t)ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct vp_local_vcpu *vcpu;
	struct vp_err why = { "" };

	need(fd >= 0 && run != MAP_FAILED, "KVM_CREATE_VCPU", NULL);
	set_entry(fd, id);
	need(!vp_local_vcpu_attach(local, id, fd, run, &vcpu, &why), "attach", why.text);
	do {
		rc = vp_local_run(vcpu, &why); /* where ioctl(fd, KVM_RUN, 0) would stand */
		if (rc == -EINTR)
			continue;
		need(!rc, "KVM_RUN", *why.text ? why.text : strerror(-rc));
		need(run->exit_reason == KVM_EXIT_IO, "KVM_RUN", "an exit, but not for a port");
		if (run->io.port == VP_PORT_CONSOLE)
			putchar(*((char *)run + run->io.data_offset));
	} while (rc || run->io.port != VP_PORT_EXIT);
	vp_local_vcpu_detach(vcpu);
	return NULL;
}

/* When every vCPU has got the answer @from, four times that byte, they are to get four times @to.
 */
static void poke(uint8_t from, uint8_t to)
{
	struct vp_site site = { .addr = answer, .len = 5, .resume = VP_RESUME_PARK };
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;

	for (unsigned int id = 0, tries = 0; id < VCPUS; id++)
		for (; seen[id].answer != from * 0x01010101u; usleep(100))
			need(++tries < 600000, "the guest", "it does not run on");
	memset(site.old_bytes, from, site.len);
	memset(site.new_bytes, to, site.len);
	site.old_bytes[0] = site.new_bytes[0] = 0xb8; /* mov $N, %eax */
	opts.strategy = config.route == VP_ROUTE_NONE ? VP_STRATEGY_STOP : VP_STRATEGY_INT3;
	need(!vp_poke(engine, &site, 1, &opts, NULL, &err), "poke", err.text);
}

int main(int argc, char **argv)
{
	unsigned long pokes = argc > 2 ? strtoul(argv[2], NULL, 0) : 4;
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE };
	unsigned long long calls = 0, torn = 0;
	uint8_t now = 0x11, next;
	pthread_t threads[VCPUS];

	need(argc > 1, "usage", "vmm GUEST [POKES]");
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(ram != MAP_FAILED, "RAM", NULL);
	load(argv[1]);
	make_tables();
	kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	need(kvm_fd >= 0, "/dev/kvm", NULL);
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	ioctl(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* kvm_intel wants it */
	slot.userspace_addr = (uintptr_t)ram;
	need(!ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_CREATE_VM", NULL);
	need(!vp_local_probe(kvm_fd, &config.route, &err) && !vp_local_new(&config, &local, &err) &&
		     !vp_local_add_ram(local, VP_GPA(0), ram, RAM_SIZE, 0, &err) &&
		     !vp_engine_new(vp_local_target(local), &engine, &err),
	     "vmpoke", err.text);
	for (uintptr_t id = 0; id < VCPUS; id++)
		need(!pthread_create(&threads[id], NULL, run_vcpu, (void *)id), "thread", "none");
	for (unsigned long i = 0; i < pokes; i++, now = next) {
		next = now == 0x99 ? 0x11 : (uint8_t)(now + 0x11);
		poke(now, next);
	}
	poke(now, 0); /* which ends the guest */
	for (unsigned int id = 0; id < VCPUS; id++) {
		pthread_join(threads[id], NULL);
		calls += seen[id].calls;
		torn += seen[id].torn;
	}
	printf("vmm: %lu pokes, route %s: %llu answers, of which %llu were half old, half new\n",
	       pokes + 1, vp_route_name(config.route), calls, torn);
	need(!vp_engine_free(engine), "vmpoke", "a poke is unfinished");
	vp_local_free(local);
	return torn != 0;
}
