/* SPDX-License-Identifier: Apache-2.0 */
/* A place in a guest as people write it: an address, or a symbol and an offset. Syntax alone. */
#ifndef VP_ELF_WHERE_H
#define VP_ELF_WHERE_H

#include <vmpoke/types.h>

struct vp_where {
	size_t name_len; /* of the symbol, which the text begins with; 0: it is an address */
	uint64_t number; /* the address, or the offset */
	bool minus;	 /* the offset is taken off */
};

/*
 * Numbers are decimal, or hexadecimal with 0x; 16 digits without it, as in a list of symbols, are
 * hexadecimal, too. One that begins with 0 otherwise is refused: C takes it for octal, people do
 * not. -EINVAL, -ERANGE: more than 64 bits.
 */
int vp_where_split(const char *text, struct vp_where *out, struct vp_err *err);

#endif /* VP_ELF_WHERE_H */
