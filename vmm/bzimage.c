/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bzImage: real-mode setup code, which nobody runs here, then the compressed kernel with its
 * 64-bit entry 0x200 bytes in (Linux, Documentation/arch/x86/boot.rst). Every number may be a lie.
 */
#include "vmm/kernel.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SECTOR		512u
#define SECTORS_DEFAULT 4u /* what 0 means */
#define HEADER_AT	0x1f1u
#define JUMP_AT		0x201u /* its operand tells where the header ends */
#define MAGIC_AT	0x202u
#define MAGIC		"HdrS"
#define PROTOCOL_MIN	0x20cu /* xloadflags: Linux 3.8 */
#define PARAGRAPH	16u    /* unit of syssize */
#define ENTRY_64	0x200u
#define LOAD_MIN	0x100000u

bool vp_bzimage_is(const void *file, size_t len)
{
	static const uint8_t boot_flag[] = { 0x55, 0xaa };
	const uint8_t *bytes = file;

	return len >= 2 * SECTOR && !memcmp(bytes + SECTOR - 2, boot_flag, 2) &&
	       !memcmp(bytes + MAGIC_AT, MAGIC, 4);
}

/* An older kernel's header is shorter: what it does not have is 0. */
static void header_read(const uint8_t *bytes, struct setup_header *h)
{
	size_t end = MAGIC_AT + (size_t)bytes[JUMP_AT]; /* < 2 sectors */

	*h = (struct setup_header){ 0 };
	if (end > HEADER_AT + sizeof(*h))
		end = HEADER_AT + sizeof(*h);
	memcpy(h, bytes + HEADER_AT, end - HEADER_AT);
}

static int header_check(const struct setup_header *h, const char *what, struct vp_err *err)
{
	if (h->version < PROTOCOL_MIN)
		return vp_err_set(err, -ENOEXEC,
				  "%.80s: boot protocol %u.%02u is too old: it takes 2.12, Linux "
				  "3.8",
				  what, h->version >> 8, h->version & 0xff);
	if (!(h->xloadflags & XLF_KERNEL_64) || !(h->loadflags & LOADED_HIGH))
		return vp_err_set(err, -ENOEXEC,
				  "%.80s: has no 64-bit entry: give an x86-64 kernel", what);
	if (h->pref_address < LOAD_MIN)
		return vp_err_set(err, -ENOEXEC,
				  "%.80s: wants to be loaded at 0x%" PRIx64
				  ", below 1 MiB: is it damaged?",
				  what, (uint64_t)h->pref_address);
	return 0;
}

int vp_bzimage_load(const void *file, size_t len, const char *what, const struct vp_ram *ram,
		    struct vp_kernel *out, struct vp_err *err)
{
	const uint8_t *bytes = file;
	struct setup_header *h = &out->header;
	uint64_t setup, size, need;
	void *to;
	int rc;

	if (!vp_bzimage_is(file, len))
		return vp_err_set(err, -ENOEXEC, "%.80s: not a bzImage", what);
	header_read(bytes, h);
	rc = header_check(h, what, err);
	if (rc)
		return rc;
	setup = ((h->setup_sects ? h->setup_sects : SECTORS_DEFAULT) + 1ull) * SECTOR;
	size = (uint64_t)h->syssize * PARAGRAPH;
	/* The last paragraph need not be whole. */
	if (size <= ENTRY_64 || setup > len || size > len - setup + PARAGRAPH - 1)
		return vp_err_set(err, -ENOEXEC,
				  "%.80s: truncated: its header says %" PRIu64
				  " bytes, it has %zu: fetch it again",
				  what, setup + size, len);
	if (size > len - setup)
		size = len - setup;
	need = h->init_size > size ? h->init_size : size;
	to = vp_ram_at(ram, h->pref_address, need);
	if (!to)
		return vp_err_set(err, -ENOEXEC,
				  "%.80s: needs RAM up to 0x%" PRIx64 " (%" PRIu64
				  " bytes at 0x%" PRIx64 "), there is 0x%" PRIx64
				  ": give more --memory",
				  what, (uint64_t)h->pref_address + need, need,
				  (uint64_t)h->pref_address, ram->bytes);
	memcpy(to, bytes + setup, size);
	out->start = h->pref_address;
	out->end = h->pref_address + need;
	out->entry = h->pref_address + ENTRY_64;
	return 0;
}
