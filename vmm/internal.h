/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the VMM share.
 *
 * Locks, in the order they may be taken:
 *   vp_vm.adding  held through vp_vm_start() and vp_vm_vcpu_add(), which wait for new vCPUs
 *   vp_vm.lock    status and topology; short. Never held while waiting for the target's lock:
 *                 a batch may be in flight for seconds.
 */
#ifndef VP_VMM_INTERNAL_H
#define VP_VMM_INTERNAL_H

#include "target/wait.h"
#include "vmm/probe.h"
#include "vmm/vm.h"
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <vmpoke/guest.h>

#define VP_PAGE	   0x1000ull
#define VP_PAGE_2M 0x200000ull

/* Guest RAM: one block from guest-physical 0. */
struct vp_ram {
	uint8_t *base;
	uint64_t bytes;
};

/* Where @len bytes of RAM are in this process, or NULL unless all of them are RAM. */
void *vp_ram_at(const struct vp_ram *ram, uint64_t gpa, uint64_t len);

/* --- boot.c: the memory and register state that docs/guest-abi.md promises --- */

struct vp_boot {
	struct vp_ram ram;
	uint64_t tables;   /* guest-physical: the boot page tables, PML4 first */
	unsigned int used; /* pages of them */
};

/* Make the boot page tables in the top 2 MiB of RAM, with the direct map. */
int vp_boot_init(struct vp_boot *b, struct vp_ram ram, struct vp_err *err);

/* Map one 4 KiB page of the image. -EEXIST: mapped already; -ENOSPC: no room for tables. */
int vp_boot_map(struct vp_boot *b, uint64_t gva, uint64_t gpa, bool writable, bool exec);

/* Write the GDT, the TSS and the boot information for @vcpus vCPUs. */
void vp_boot_write(const struct vp_boot *b, unsigned int vcpus);

/* The boot information in RAM. The guest may write it, too: only ever store bytes. */
struct vp_boot_info *vp_boot_info(const struct vp_ram *ram);

/* Entry state of vCPU @id. @sregs holds the power-on state before the call. */
void vp_boot_entry(const struct vp_boot *b, unsigned int id, vp_gva entry, struct kvm_sregs *sregs,
		   struct kvm_regs *regs);

/* --- load.c: the guest's ELF file --- */

struct vp_image_part {
	uint64_t vaddr, paddr, bytes;
	bool exec;
};

struct vp_image {
	vp_gva entry;
	bool irqchip;
	struct vp_image_part *parts;
	size_t nparts;
};

/*
 * Copy the segments into RAM (which is all zero before) and map them. @out is to be freed by
 * vp_image_free(), also after an error. -ENOEXEC, -ENOMEM.
 */
int vp_image_load(const void *image, size_t len, const char *what, struct vp_boot *boot,
		  struct vp_image *out, struct vp_err *err);
void vp_image_free(struct vp_image *image);

/* --- console.c: where serial output goes. Any thread. --- */

struct vp_console;

#define VP_CONSOLE_RING 65536u

/* Output goes to @fd (borrowed; -1: nowhere), by a thread of its own. */
int vp_console_new(int fd, struct vp_console **out, struct vp_err *err);

/* Write what is left (for at most a second) and free. NULL is fine. */
void vp_console_free(struct vp_console *c);

/* Print a byte. Waits a moment for a slow reader, never for ever. */
void vp_console_put(struct vp_console *c, uint8_t byte);

/* Wait until what was printed before this call is written, at most @timeout_ms. */
void vp_console_flush(struct vp_console *c, unsigned int timeout_ms);

/* Bytes that could not be written because nobody read. */
uint64_t vp_console_lost(struct vp_console *c);

/* --- serial.c: the serial port, a 16550A. Any thread. --- */

struct vp_serial;

/* The interrupt line changed. Called with the port locked: must not call it. */
typedef void (*vp_serial_irq)(void *arg, bool level);

#define VP_SERIAL_INPUT 4096u /* bytes of input that wait for the guest at most */

/* Output as vp_console_new(); @irq may be NULL: nobody is interrupted. */
int vp_serial_new(int fd, vp_serial_irq irq, void *irq_arg, struct vp_serial **out,
		  struct vp_err *err);
void vp_serial_free(struct vp_serial *s);

/* A register, 0..7. */
void vp_serial_out(struct vp_serial *s, unsigned int reg, uint8_t value);
uint8_t vp_serial_in(struct vp_serial *s, unsigned int reg);

/* Give the guest input; returns how many bytes there was room for. */
size_t vp_serial_input(struct vp_serial *s, const uint8_t *bytes, size_t n);

void vp_serial_flush(struct vp_serial *s, unsigned int timeout_ms);
uint64_t vp_serial_lost(struct vp_serial *s);

/* --- rtc.c --- */

/* A register of the clock, 0..127, at the time @now. */
uint8_t vp_rtc_read(unsigned int reg, time_t now);

/* --- ports.c: one access of @size bytes, 1..4. A write may end the VM. --- */

struct vp_vm;
void vp_ports_out(struct vp_vm *vm, uint32_t port, const uint8_t *data, unsigned int size);
void vp_ports_in(struct vp_vm *vm, uint32_t port, uint8_t *data, unsigned int size);

/* --- cpuid.c --- */

/* How a VM's vCPUs differ from all that this KVM can do. */
struct vp_cpu {
	bool irqchip;	   /* there is a local APIC in the kernel */
	bool tsc_deadline; /* with a timer that takes a TSC value */
	bool no_cx16;	   /* cmpxchg16b does not work */
};

/* Change a table that KVM supports into that of vCPU @id. */
void vp_cpuid_fix(struct kvm_cpuid2 *cpuid, unsigned int id, const struct vp_cpu *cpu);
int vp_cpuid_set(int kvm_fd, int fd, unsigned int id, const struct vp_cpu *cpu, struct vp_err *err);

/* --- state.c: the registers of a vCPU --- */

struct vp_power_on;

/* How a vCPU begins. */
struct vp_entry {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	bool waits; /* for INIT and SIPI */
};

/* Give a new vCPU its CPUID and remember its power-on state. */
int vp_state_capture(int kvm_fd, int fd, unsigned int id, const struct vp_cpu *cpu,
		     struct vp_power_on **out, struct vp_err *err);

void vp_state_free(struct vp_power_on *on);

/* The power-on state as an entry, to be changed. */
void vp_state_power_on(const struct vp_power_on *on, struct vp_entry *entry);

/* Put the vCPU back to power-on, then to @entry. */
int vp_state_reset(int fd, unsigned int id, const struct vp_power_on *on,
		   const struct vp_entry *entry, struct vp_err *err);

/* --- the VM --- */

enum vp_vcpu_life {
	VP_VCPU_FREE,
	VP_VCPU_STARTING, /* its thread waits to be let into the target */
	VP_VCPU_RUNNING,
};

/* A vCPU number. KVM cannot destroy a vCPU: its fd stays with the number and is used again. */
struct vp_vcpu {
	struct vp_vm *vm;
	unsigned int id;
	int fd; /* -1: never used yet */
	struct kvm_run *run;
	struct vp_power_on *power_on;
	atomic_bool stop; /* the thread must end; set with vm->lock held */

	/* Under vm->lock. */
	enum vp_vcpu_life state;
	unsigned int generation; /* counts the starts, so that a waiter sees its vCPU gone */
	bool halted, removing, joinable;
	pthread_t thread;
	int thread_id;
	struct vp_local_vcpu *local; /* set by the thread, from attach to just before detach */
	int start_rc;
	struct vp_err start_err;
};

struct vp_vm {
	char *name;
	const char *image_what;
	unsigned int boot_vcpus, max_vcpus;
	int kvm_fd, vm_fd, ram_fd, end_fd;
	size_t run_size;
	struct vp_probe probe;
	struct vp_ram ram;
	struct vp_boot boot;
	struct vp_image image;
	bool is_linux;		  /* then the next counts, and nothing of boot and image */
	struct vp_kernel *kernel; /* vmm/kernel.h */
	struct vp_cpu cpu;
	char notice[160];
	_Atomic uint8_t rtc_index, pm_enable[2]; /* ports.c */
	struct vp_symtab *symbols;
	struct vp_serial *serial;
	struct vp_local *local;
	struct vp_engine *engine;

	pthread_mutex_t adding;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* status or topology; CLOCK_MONOTONIC */
	struct vp_vm_status status;
	unsigned int live; /* vCPUs that are not free */
	struct vp_vcpu vcpus[VP_VCPU_MAX];
};

/*
 * End the VM: the first reason given stands. Any thread. vp_vm_end() writes the console out
 * first and takes vm->lock; for the other the caller holds it.
 */
void vp_vm_end(struct vp_vm *vm, enum vp_vm_end end, unsigned int code, const char *text);
void vp_vm_end_locked(struct vp_vm *vm, enum vp_vm_end end, unsigned int code, const char *text);

/* guest.c: load what @cfg names into RAM, and whatever it needs to start. -ENOEXEC, -EINVAL,
 * -ENOMEM. */
int vp_guest_make(struct vp_vm *vm, const struct vp_vm_config *cfg, struct vp_err *err);

/* Start the thread of a free vCPU / wait for its answer. vm->adding and vm->lock held. */
int vp_vcpu_begin(struct vp_vcpu *c, struct vp_err *err);
int vp_vcpu_await(struct vp_vcpu *c, struct vp_err *err);

/* Make the vCPU's thread end. vm->lock held; does not wait. */
void vp_vcpu_stop(struct vp_vcpu *c);

/*
 * Describe a vCPU that cannot go on, several lines: @why, registers, code bytes. On its own thread.
 */
void vp_fault_text(struct vp_vcpu *c, const char *why, char *text, size_t size);

#endif /* VP_VMM_INTERNAL_H */
