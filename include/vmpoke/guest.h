/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest ABI of vmpoke's VMM, as constants and one structure, for guests and
 * for the VMM. docs/guest-abi.md is the text. Usable from assembler, too.
 */
#ifndef VMPOKE_GUEST_H
#define VMPOKE_GUEST_H

#define VP_GUEST_BOOT_INFO   0x1000
#define VP_GUEST_GDT	     0x2000
#define VP_GUEST_STACKS	     0x10000
#define VP_GUEST_STACK_SIZE  0x2000
#define VP_GUEST_IMAGE_MIN   0x100000
#define VP_GUEST_TABLES_SIZE 0x200000
#define VP_GUEST_DIRECT_MAP  0xffff888000000000
#define VP_GUEST_VCPU_MAX    64

#define VP_GUEST_CS 0x08
#define VP_GUEST_DS 0x10
#define VP_GUEST_TR 0x18

#define VP_PORT_CONSOLE 0x3f8
#define VP_PORT_EXIT	0xf4
#define VP_PORT_GIVE_UP 0xf5

#define VP_NOTE_NAME	"vmpoke"
#define VP_NOTE_FLAGS	1
#define VP_NOTE_IRQCHIP 1

#define VP_BOOT_MAGIC	0x656b6f706d76 /* "vmpoke" */
#define VP_BOOT_VERSION 1

#ifndef __ASSEMBLER__
#include <stdint.h>

/* At guest-physical VP_GUEST_BOOT_INFO. The guest reads it; the VMM writes it. */
struct vp_boot_info {
	uint64_t magic;	  /* VP_BOOT_MAGIC */
	uint32_t version; /* VP_BOOT_VERSION */
	uint32_t vcpus;	  /* how many were started at boot */
	uint64_t ram_bytes;
	uint64_t direct_map;		    /* guest-virtual address of guest-physical 0 */
	uint8_t online[VP_GUEST_VCPU_MAX];  /* 1: this vCPU exists */
	uint8_t give_up[VP_GUEST_VCPU_MAX]; /* 1: please give up this vCPU */
};
#endif

#endif /* VMPOKE_GUEST_H */
