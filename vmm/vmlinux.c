/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vmlinux: the kernel as it was linked. Its e_entry is the guest-physical address of startup_64,
 * which takes over from the same state as the 64-bit entry of a bzImage (Linux,
 * arch/x86/kernel/head_64.S, vmlinux.lds.S). There is no KASLR: that is the decompressor's deed.
 */
#include "vmm/kernel.h"
#include "elf/image.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LOAD_MIN     0x100000u
#define BANNER	     "Linux version "
#define PROTOCOL     0x20fu
#define BOOT_FLAG    0xaa55u
#define LOADER_OTHER 0xffu
#define INITRD_MAX   0x7fffffffu
#define CMDLINE_MAX  2047u /* COMMAND_LINE_SIZE - 1 */
#define ALIGNMENT    0x200000u

/* Is @entry in an executable segment, counted by virtual or by physical addresses? */
static bool entry_is(const struct vp_elf *elf, bool physical)
{
	uint64_t entry = vp_elf_entry(elf).v;
	const struct vp_elf_segment *s;
	size_t i, n;

	s = vp_elf_segments(elf, &n);
	for (i = 0; i < n; i++)
		if (s[i].flags & PF_X && entry - (physical ? s[i].paddr : s[i].vaddr) < s[i].filesz)
			return true;
	return false;
}

bool vp_vmlinux_is(const void *file, size_t len)
{
	struct vp_elf *elf = NULL;
	bool is;

	if (!memmem(file, len, BANNER, sizeof(BANNER) - 1) ||
	    vp_elf_open(file, len, "", &elf, NULL))
		return false;
	/* A guest of docs/guest-abi.md is entered at a virtual address. */
	is = entry_is(elf, true) && !entry_is(elf, false);
	vp_elf_close(elf);
	return is;
}

/* What a bzImage of this kernel would say of it. */
static void header_make(struct vp_kernel *k)
{
	k->header = (struct setup_header){
		.boot_flag = BOOT_FLAG,
		.version = PROTOCOL,
		.type_of_loader = LOADER_OTHER,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = INITRD_MAX,
		.kernel_alignment = ALIGNMENT,
		.cmdline_size = CMDLINE_MAX,
		.pref_address = k->start,
		.init_size = (uint32_t)(k->end - k->start),
	};
	memcpy(&k->header.header, "HdrS", 4);
}

static int load_segments(const struct vp_elf *elf, const char *what, const struct vp_ram *ram,
			 struct vp_kernel *k, struct vp_err *err)
{
	const struct vp_elf_segment *s;
	size_t i, n;

	s = vp_elf_segments(elf, &n);
	k->start = UINT64_MAX;
	for (i = 0; i < n; i++) {
		void *to = vp_ram_at(ram, s[i].paddr, s[i].memsz);

		if (s[i].paddr < LOAD_MIN || !to)
			return vp_err_set(err, -ENOEXEC,
					  "%.80s: segment %zu: %" PRIu64
					  " bytes at physical 0x%" PRIx64
					  " lie outside 0x%x-0x%" PRIx64 ": give more --memory",
					  what, i, s[i].memsz, s[i].paddr, LOAD_MIN, ram->bytes);
		if (s[i].filesz)
			memcpy(to, s[i].data, s[i].filesz);
		if (s[i].paddr < k->start)
			k->start = s[i].paddr;
		if (s[i].paddr + s[i].memsz > k->end)
			k->end = s[i].paddr + s[i].memsz;
	}
	return 0;
}

int vp_vmlinux_load(const void *file, size_t len, const char *what, const struct vp_ram *ram,
		    struct vp_kernel *out, struct vp_err *err)
{
	struct vp_elf *elf = NULL;
	int rc = vp_elf_open(file, len, what, &elf, err);

	if (rc)
		return rc;
	if (!entry_is(elf, true))
		rc = vp_err_set(err, -ENOEXEC,
				"%.80s: the entry 0x%" PRIx64
				" is in no executable segment: not a vmlinux",
				what, vp_elf_entry(elf).v);
	if (!rc)
		rc = load_segments(elf, what, ram, out, err);
	if (!rc) {
		out->entry = vp_elf_entry(elf).v;
		header_make(out);
	}
	vp_elf_close(elf);
	return rc;
}
