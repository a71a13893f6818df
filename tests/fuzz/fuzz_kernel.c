/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel files: bzImage and vmlinux. What is loaded lies where the header says and is what the file
 * holds; what is refused left RAM alone, unless one segment of several was at fault.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/fuzz/fuzz.h"
#include "vmm/kernel.h"

#define RAM (3ull << 20)

static struct vp_ram ram;

static bool untouched(void)
{
	return !ram.base[0] && !memcmp(ram.base, ram.base + 1, RAM - 1);
}

static void check_bzimage(const uint8_t *data, size_t size, const struct vp_kernel *k)
{
	uint64_t setup = ((data[0x1f1] ? data[0x1f1] : 4) + 1ull) * 512;
	uint64_t payload = k->header.syssize * 16ull;

	FUZZ_CHECK(k->start == k->header.pref_address && k->entry == k->start + 0x200);
	FUZZ_CHECK(setup < size && payload > 0x200);
	if (payload > size - setup)
		payload = size - setup;
	FUZZ_CHECK(k->end - k->start >= payload);
	FUZZ_CHECK(!memcmp(ram.base + k->start, data + setup, payload));
	memset(ram.base + k->start, 0, payload);
	FUZZ_CHECK(untouched());
}

/* What a boot loader writes stays below 1 MiB, or above the kernel. */
static void check_boot(const struct vp_kernel *k)
{
	static const char initrd[5000] = "initrd";
	const struct vp_linux_boot boot = { initrd, sizeof(initrd), "quiet", 3 };
	const struct boot_params *zero = (const void *)(ram.base + VP_LINUX_ZERO);
	struct vp_err err = { "" };
	uint64_t at;
	int rc;

	FUZZ_CHECK(!madvise(ram.base, RAM, MADV_DONTNEED)); /* all zero again */
	rc = vp_linux_write(&ram, k, &boot, &err);
	FUZZ_CHECK(!rc || (rc == -EINVAL && err.text[0]));
	if (rc)
		return;
	at = zero->hdr.ramdisk_image;
	FUZZ_CHECK(at >= k->end && at + sizeof(initrd) <= RAM);
	FUZZ_CHECK(!memcmp(ram.base + at, initrd, sizeof(initrd)));
	memset(ram.base, 0, 0x100000);
	memset(ram.base + at, 0, sizeof(initrd));
	FUZZ_CHECK(untouched());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vp_err err = { "" };
	struct vp_kernel k;
	int rc;

	if (!ram.base) {
		ram.base =
			mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ram.bytes = RAM;
	}
	FUZZ_CHECK(ram.base != MAP_FAILED && !madvise(ram.base, RAM, MADV_DONTNEED));
	rc = vp_kernel_load(data, size, "fuzz", &ram, &k, &err);
	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0] && !strchr(err.text, '\n')));
	if (rc) {
		FUZZ_CHECK(!vp_bzimage_is(data, size) || untouched());
		return 0;
	}
	FUZZ_CHECK(k.start >= 0x100000 && k.start < k.end && k.end <= RAM);
	FUZZ_CHECK(k.entry >= k.start && k.entry < k.end);
	if (vp_bzimage_is(data, size))
		check_bzimage(data, size, &k);
	check_boot(&k);
	return 0;
}
