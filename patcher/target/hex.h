/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as hex digits, as they stand in JSON and on command lines. */
#ifndef VP_TARGET_HEX_H
#define VP_TARGET_HEX_H

#include <vmpoke/types.h>

/*
 * Pairs of hex digits, 1..@max bytes of them; one blank may stand between bytes, as `read` prints
 * them, and 0x before them. -EINVAL; the text names what by @what.
 */
int vp_hex_parse(const char *what, const char *text, uint8_t *out, size_t max, size_t *len,
		 struct vp_err *err);

/* The value of a hex digit, or -1. */
int vp_hex_digit(char c);

/* @n bytes as 2 * @n digits and a NUL. */
void vp_hex_format(const uint8_t *bytes, size_t n, char *text);

#endif /* VP_TARGET_HEX_H */
