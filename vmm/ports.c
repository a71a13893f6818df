/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O ports. Every device here is made of byte registers: a wide access is one access to each, as
 * on an ISA bus. A port that nobody has reads as all ones, and so "there is no PCI" reads, too.
 */
#include "vmm/kernel.h"
#include <string.h>
#include <time.h>

#define SERIAL_PORTS 8u

#define RTC_INDEX 0x70u
#define RTC_MASK  0x7fu /* bit 7 gates the NMI */

#define KBD	   0x60u
#define KBD_PORTS  5u
#define KBD_STATUS 4u
#define KBD_PULSE  0xfeu /* the reset line of a PC's CPU hangs on the keyboard controller */

/* Offsets in the PM1 registers (ACPI 6.3, 4.8.3). */
#define PM_ENABLE	  2u
#define PM_CONTROL	  4u
#define PM_CONTROL1	  5u	/* the upper byte */
#define PM_SCI_EN	  0x01u /* ACPI is on: there is no other mode */
#define PM_SLP_EN	  0x20u /* in the upper byte */
#define PM_SLP_TYP(upper) ((upper) >> 2 & 7u)

struct port_range {
	uint32_t first, count;
	bool linux_only, byte_only;
	uint8_t (*in)(struct vp_vm *vm, unsigned int reg);
	void (*out)(struct vp_vm *vm, unsigned int reg, uint8_t value);
};

static uint8_t serial_in(struct vp_vm *vm, unsigned int reg)
{
	return vp_serial_in(vm->serial, reg);
}

static void serial_out(struct vp_vm *vm, unsigned int reg, uint8_t value)
{
	vp_serial_out(vm->serial, reg, value);
}

static uint8_t rtc_in(struct vp_vm *vm, unsigned int reg)
{
	return reg ? vp_rtc_read(atomic_load(&vm->rtc_index), time(NULL)) : 0xff;
}

static void rtc_out(struct vp_vm *vm, unsigned int reg, uint8_t value)
{
	if (!reg)
		atomic_store(&vm->rtc_index, value & RTC_MASK);
}

/* Nobody types, and commands are taken at once. */
static uint8_t kbd_in(struct vp_vm *vm, unsigned int reg)
{
	(void)vm;
	return reg == KBD_STATUS ? 0 : 0xff;
}

static void kbd_out(struct vp_vm *vm, unsigned int reg, uint8_t value)
{
	if (reg == KBD_STATUS && value == KBD_PULSE)
		vp_vm_end(vm, VP_VM_RESET, 0, "the guest reset itself (keyboard controller)");
}

static void reset_out(struct vp_vm *vm, unsigned int reg, uint8_t value)
{
	(void)reg;
	if (value & VP_ACPI_RESET_BIT)
		vp_vm_end(vm, VP_VM_RESET, 0, "the guest reset itself");
}

/* No event ever happens, so the status is 0, and what is enabled does not matter. */
static uint8_t pm_in(struct vp_vm *vm, unsigned int reg)
{
	if (reg >= PM_ENABLE && reg < PM_CONTROL)
		return atomic_load(&vm->pm_enable[reg - PM_ENABLE]);
	return reg == PM_CONTROL ? PM_SCI_EN : 0;
}

static void pm_out(struct vp_vm *vm, unsigned int reg, uint8_t value)
{
	if (reg >= PM_ENABLE && reg < PM_CONTROL)
		atomic_store(&vm->pm_enable[reg - PM_ENABLE], value);
	if (reg == PM_CONTROL1 && value & PM_SLP_EN && PM_SLP_TYP(value) == VP_ACPI_S5)
		vp_vm_end(vm, VP_VM_POWER_OFF, 0, "the guest switched itself off");
}

static const struct port_range ranges[] = {
	{ VP_PORT_CONSOLE, SERIAL_PORTS, false, false, serial_in, serial_out },
	{ RTC_INDEX, 2, true, false, rtc_in, rtc_out },
	{ KBD, KBD_PORTS, true, false, kbd_in, kbd_out },
	{ VP_ACPI_PM, VP_ACPI_PM_SIZE, true, false, pm_in, pm_out },
	/* Within PCI's address register, which is 4 bytes wide: only a byte is meant for it. */
	{ VP_ACPI_RESET, 1, true, true, NULL, reset_out },
};

static const struct port_range *range_of(const struct vp_vm *vm, uint32_t port, unsigned int size)
{
	size_t i;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		const struct port_range *r = &ranges[i];

		if (port - r->first < r->count && (vm->is_linux || !r->linux_only) &&
		    (size == 1 || !r->byte_only))
			return r;
	}
	return NULL;
}

void vp_ports_out(struct vp_vm *vm, uint32_t port, const uint8_t *data, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < size; i++) {
		const struct port_range *r = range_of(vm, port + i, size);

		if (r && r->out)
			r->out(vm, port + i - r->first, data[i]);
	}
}

void vp_ports_in(struct vp_vm *vm, uint32_t port, uint8_t *data, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < size; i++) {
		const struct port_range *r = range_of(vm, port + i, size);

		data[i] = r && r->in ? r->in(vm, port + i - r->first) : 0xff;
	}
}
