/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least ACPI that Linux needs for its CPUs, interrupts, power off and reset (ACPI specification
 * 6.3, chapter 5): RSDP, XSDT, FADT, FACS, DSDT, MADT. It is also what tells the kernel that there
 * is no keyboard controller and no VGA, so that it does not look for them.
 */
#include "vmm/kernel.h"
#include <assert.h>
#include <string.h>

#define packed __attribute__((packed))

#define LAPIC_ADDR  0xfee00000u
#define IOAPIC_ADDR 0xfec00000u

/* FADT, 5.2.9 */
#define BOOT_LEGACY   0x01u
#define BOOT_NO_VGA   0x04u
#define BOOT_NO_MSI   0x08u
#define FLAG_WBINVD   (1u << 0)
#define FLAG_C1	      (1u << 2)
#define FLAG_NO_POWER (1u << 4) /* no fixed power button */
#define FLAG_NO_SLEEP (1u << 5)
#define FLAG_NO_RTC   (1u << 6)
#define FLAG_RESET    (1u << 10)
#define SPACE_IO      1u
#define LATENCY_NONE  0xffffu
#define RTC_CENTURY   0x32u
#define RESET_VALUE   0x06u

/* MADT, 5.2.12 */
#define MADT_PCAT	    1u
#define LAPIC_ENABLED	    1u
#define OVERRIDE_LEVEL_HIGH 0x0du
#define ALL_PROCESSORS	    0xffu
#define ENTRY_LAPIC	    0u
#define ENTRY_IOAPIC	    1u
#define ENTRY_OVERRIDE	    2u
#define ENTRY_LAPIC_NMI	    4u

struct packed header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
};

struct packed address {
	uint8_t space, width, offset, access;
	uint64_t address;
};

struct packed rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
};

struct packed xsdt {
	struct header header;
	uint64_t fadt, madt;
};

struct packed fadt {
	struct header header;
	uint32_t facs, dsdt;
	uint8_t model, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control;
	uint32_t pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base, cst_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_flags;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
	struct address sleep_control, sleep_status;
	uint64_t hypervisor;
};
static_assert(sizeof(struct fadt) == 276, "ACPI 6.3, table 5-33");

struct packed facs {
	char signature[4];
	uint32_t length, unused[14];
};
static_assert(sizeof(struct facs) == 64, "ACPI 6.3, table 5-39");

struct packed lapic {
	uint8_t type, length, uid, id;
	uint32_t flags;
};

struct packed madt {
	struct header header;
	uint32_t lapic_addr, flags;
	struct packed {
		uint8_t type, length, id, reserved;
		uint32_t addr, gsi_base;
	} ioapic;
	struct packed {
		uint8_t type, length, bus, source;
		uint32_t gsi;
		uint16_t flags;
	} sci;
	struct packed {
		uint8_t type, length, uid;
		uint16_t flags;
		uint8_t lint;
	} nmi;
	struct lapic lapics[VP_VCPU_MAX];
};

/* Name (\_S5, Package () { VP_ACPI_S5, VP_ACPI_S5, 0, 0 }) */
struct packed dsdt {
	struct header header;
	uint8_t aml[14];
};

/* All of them, where they lie in RAM. */
struct tables {
	struct rsdp rsdp;
	struct facs facs __attribute__((aligned(64)));
	struct xsdt xsdt __attribute__((aligned(16)));
	struct fadt fadt __attribute__((aligned(16)));
	struct dsdt dsdt __attribute__((aligned(16)));
	struct madt madt __attribute__((aligned(16)));
};
static_assert(sizeof(struct tables) <= VP_PAGE, "vp_linux_write() keeps one page for them");

#define AT(field) (VP_LINUX_ACPI + offsetof(struct tables, field))

/* All bytes of a table, its checksum among them, add up to 0. */
static uint8_t checksum(const void *table, size_t len)
{
	const uint8_t *bytes = table;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *bytes++);
	return (uint8_t)-sum;
}

static void finish(struct header *h, const char *signature, uint8_t revision, size_t len)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = (uint32_t)len;
	h->revision = revision;
	memcpy(h->oem, "VMPOKE", sizeof(h->oem));
	memcpy(h->oem_table, "VMPOKE  ", sizeof(h->oem_table));
	h->oem_revision = h->creator_revision = 1;
	memcpy(h->creator, "VMPK", sizeof(h->creator));
	h->checksum = 0;
	h->checksum = checksum(h, len);
}

static void write_rsdp(struct rsdp *r)
{
	memcpy(r->signature, "RSD PTR ", sizeof(r->signature));
	memcpy(r->oem, "VMPOKE", sizeof(r->oem));
	r->revision = 2;
	r->length = sizeof(*r);
	r->xsdt = AT(xsdt);
	r->checksum = checksum(r, offsetof(struct rsdp, length)); /* of what revision 0 had */
	r->extended_checksum = checksum(r, sizeof(*r));
}

static struct address port(uint16_t number, uint8_t bytes)
{
	return (struct address){ SPACE_IO, (uint8_t)(8 * bytes), 0, bytes, number };
}

static void write_fadt(struct fadt *f)
{
	f->facs = AT(facs);
	f->dsdt = AT(dsdt);
	f->x_dsdt = AT(dsdt);
	f->sci = VP_ACPI_IRQ;
	f->pm1a_event = VP_ACPI_PM;
	f->pm1_event_length = 4;
	f->pm1a_control = VP_ACPI_PM + 4;
	f->pm1_control_length = 2;
	f->x_pm1a_event = port(VP_ACPI_PM, 4);
	f->x_pm1a_control = port(VP_ACPI_PM + 4, 2);
	f->c2_latency = f->c3_latency = LATENCY_NONE;
	f->century = RTC_CENTURY;
	f->boot_flags = BOOT_LEGACY | BOOT_NO_VGA | BOOT_NO_MSI;
	f->flags = FLAG_WBINVD | FLAG_C1 | FLAG_NO_POWER | FLAG_NO_SLEEP | FLAG_NO_RTC | FLAG_RESET;
	f->reset = port(VP_ACPI_RESET, 1);
	f->reset_value = RESET_VALUE;
	f->minor = 3;
	finish(&f->header, "FACP", 6, sizeof(*f));
}

static void write_madt(struct madt *m, unsigned int vcpus)
{
	unsigned int i;

	m->lapic_addr = LAPIC_ADDR;
	m->flags = MADT_PCAT;
	m->ioapic.type = ENTRY_IOAPIC;
	m->ioapic.length = sizeof(m->ioapic);
	m->ioapic.addr = IOAPIC_ADDR;
	m->sci.type = ENTRY_OVERRIDE;
	m->sci.length = sizeof(m->sci);
	m->sci.source = VP_ACPI_IRQ;
	m->sci.gsi = VP_ACPI_IRQ;
	m->sci.flags = OVERRIDE_LEVEL_HIGH;
	m->nmi.type = ENTRY_LAPIC_NMI;
	m->nmi.length = sizeof(m->nmi);
	m->nmi.uid = ALL_PROCESSORS;
	m->nmi.lint = 1;
	for (i = 0; i < vcpus; i++)
		m->lapics[i] = (struct lapic){ ENTRY_LAPIC, sizeof(struct lapic), (uint8_t)i,
					       (uint8_t)i, LAPIC_ENABLED };
	finish(&m->header, "APIC", 4, offsetof(struct madt, lapics) + vcpus * sizeof(struct lapic));
}

uint64_t vp_acpi_write(const struct vp_ram *ram, unsigned int vcpus)
{
	/* ACPI 6.3, 20.2: NameOp, the name, PackageOp, its length, 4 elements, two of them bytes.
	 */
	static const uint8_t s5[] = { 0x08, '_',  'S',	      '5',  '_',	0x12, 0x08,
				      0x04, 0x0a, VP_ACPI_S5, 0x0a, VP_ACPI_S5, 0x00, 0x00 };
	struct tables *t = vp_ram_at(ram, VP_LINUX_ACPI, sizeof(*t));

	memset(t, 0, sizeof(*t));
	write_rsdp(&t->rsdp);
	memcpy(t->facs.signature, "FACS", 4);
	t->facs.length = sizeof(t->facs);
	t->xsdt.fadt = AT(fadt);
	t->xsdt.madt = AT(madt);
	finish(&t->xsdt.header, "XSDT", 1, sizeof(t->xsdt));
	memcpy(t->dsdt.aml, s5, sizeof(s5));
	finish(&t->dsdt.header, "DSDT", 2, sizeof(t->dsdt));
	write_fadt(&t->fadt);
	write_madt(&t->madt, vcpus);
	return AT(rsdp);
}
