/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/reloc.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

const char *vp_reloc_name(uint32_t type)
{
	static const char *const names[] = {
#define NAME(x) [x] = #x
		NAME(R_X86_64_NONE),
		NAME(R_X86_64_64),
		NAME(R_X86_64_PC32),
		NAME(R_X86_64_GOT32),
		NAME(R_X86_64_PLT32),
		NAME(R_X86_64_COPY),
		NAME(R_X86_64_GLOB_DAT),
		NAME(R_X86_64_JUMP_SLOT),
		NAME(R_X86_64_RELATIVE),
		NAME(R_X86_64_GOTPCREL),
		NAME(R_X86_64_32),
		NAME(R_X86_64_32S),
		NAME(R_X86_64_16),
		NAME(R_X86_64_PC16),
		NAME(R_X86_64_8),
		NAME(R_X86_64_PC8),
		NAME(R_X86_64_DTPMOD64),
		NAME(R_X86_64_DTPOFF64),
		NAME(R_X86_64_TPOFF64),
		NAME(R_X86_64_TLSGD),
		NAME(R_X86_64_TLSLD),
		NAME(R_X86_64_DTPOFF32),
		NAME(R_X86_64_GOTTPOFF),
		NAME(R_X86_64_TPOFF32),
		NAME(R_X86_64_PC64),
		NAME(R_X86_64_GOTOFF64),
		NAME(R_X86_64_GOTPC32),
		NAME(R_X86_64_GOT64),
		NAME(R_X86_64_GOTPCREL64),
		NAME(R_X86_64_GOTPC64),
		NAME(R_X86_64_PLTOFF64),
		NAME(R_X86_64_SIZE32),
		NAME(R_X86_64_SIZE64),
		NAME(R_X86_64_GOTPCRELX),
		NAME(R_X86_64_REX_GOTPCRELX),
#undef NAME
	};

	if (type >= sizeof(names) / sizeof(*names) || !names[type])
		return "unknown";
	return names[type];
}

int vp_reloc_size(uint32_t type)
{
	switch (type) {
	case R_X86_64_NONE:
		return 0;
	case R_X86_64_32:
	case R_X86_64_32S:
	case R_X86_64_PC32:
	case R_X86_64_PLT32: /* nothing is interposed in a kernel: the same as PC32 */
		return 4;
	case R_X86_64_64:
	case R_X86_64_PC64:
		return 8;
	default:
		return -EOPNOTSUPP;
	}
}

int vp_reloc_apply(uint8_t *field, uint32_t type, uint64_t value, vp_gva at)
{
	int size = vp_reloc_size(type);
	bool fits = true;

	if (size <= 0)
		return size;
	if (type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64)
		value -= at.v;
	if (type == R_X86_64_32)
		fits = value <= UINT32_MAX;
	else if (size == 4)
		fits = (int64_t)value >= INT32_MIN && (int64_t)value <= INT32_MAX;
	if (!fits)
		return -ERANGE;
	memcpy(field, &value, (size_t)size); /* little endian, as this machine is */
	return 0;
}
