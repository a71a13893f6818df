/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting Linux: from a kernel file to RAM and registers. docs/vmm-linux.md is the text.
 *
 * The files may be hostile: nothing is read outside them or written outside RAM.
 */
#ifndef VP_VMM_KERNEL_H
#define VP_VMM_KERNEL_H

#include "vmm/internal.h"
#include <asm/bootparam.h>

/* Where things lie below 1 MiB at entry. */
#define VP_LINUX_GDT	 0x1000u
#define VP_LINUX_ZERO	 0x2000u /* struct boot_params */
#define VP_LINUX_TABLES	 0x3000u /* identity page tables, 6 pages */
#define VP_LINUX_CMDLINE 0x10000u
#define VP_LINUX_LOW_END 0x9fc00u /* usable below here, and again from 1 MiB */
#define VP_LINUX_ACPI	 0xe0000u

/* A kernel in RAM. */
struct vp_kernel {
	uint64_t entry;		    /* guest-physical: the 64-bit entry */
	uint64_t start, end;	    /* RAM that it takes before it has read the memory map */
	struct setup_header header; /* what the file says of itself, for the zero page */
};

/* --- kernel files -------------------------------------------------------------- */

/* By content: a bzImage, or an ELF vmlinux. What is neither is for vp_image_load() to judge. */
bool vp_kernel_is_linux(const void *file, size_t len);

/* Copy a kernel into RAM, which is all zero before. -ENOEXEC, -ENOMEM. */
int vp_kernel_load(const void *file, size_t len, const char *what, const struct vp_ram *ram,
		   struct vp_kernel *out, struct vp_err *err);

/* bzimage.c, vmlinux.c: the two kinds. */
bool vp_bzimage_is(const void *file, size_t len);
int vp_bzimage_load(const void *file, size_t len, const char *what, const struct vp_ram *ram,
		    struct vp_kernel *out, struct vp_err *err);
bool vp_vmlinux_is(const void *file, size_t len);
int vp_vmlinux_load(const void *file, size_t len, const char *what, const struct vp_ram *ram,
		    struct vp_kernel *out, struct vp_err *err);

/* --- linux.c: what a boot loader leaves for the kernel ------------------------- */

struct vp_linux_boot {
	const void *initrd; /* NULL: none */
	size_t initrd_len;
	const char *append; /* added to "console=ttyS0"; NULL: nothing */
	unsigned int vcpus;
};

/* Write everything but the kernel into RAM. -EINVAL: it does not fit. */
int vp_linux_write(const struct vp_ram *ram, const struct vp_kernel *kernel,
		   const struct vp_linux_boot *boot, struct vp_err *err);

/* The registers at entry. @entry holds the power-on state before. vCPUs but 0 wait for their SIPI.
 */
void vp_linux_entry(const struct vp_kernel *kernel, unsigned int id, struct vp_entry *entry);

/* --- acpi.c: CPUs, I/O APIC, power off, reset ---------------------------------- */

/* Write the tables for @vcpus CPUs at VP_LINUX_ACPI; gives the address of the RSDP. */
uint64_t vp_acpi_write(const struct vp_ram *ram, unsigned int vcpus);

#define VP_ACPI_IRQ	  9u
#define VP_ACPI_PM	  0x600u /* ports: PM1 event (4 bytes), PM1 control (2) */
#define VP_ACPI_PM_SIZE	  6u
#define VP_ACPI_S5	  5u /* SLP_TYP of power off */
#define VP_ACPI_RESET	  0xcf9u
#define VP_ACPI_RESET_BIT 0x04u

#endif /* VP_VMM_KERNEL_H */
