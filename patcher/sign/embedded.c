/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/embedded.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sign/minisign.h"

#define MARK	  "vmpoke-signed-object "
#define DIGITS	  10u
#define LAST_LINE (sizeof(MARK) - 1 + DIGITS + 1)

static bool read_size(const char *digits, uint64_t *size)
{
	*size = 0;
	for (size_t i = 0; i < DIGITS; i++) {
		if (!isdigit((unsigned char)digits[i]))
			return false;
		*size = 10 * *size + (uint64_t)(digits[i] - '0');
	}
	return digits[DIGITS] == '\n';
}

int vp_embedded_split(const uint8_t *file, size_t len, struct vp_embedded *out, struct vp_err *err)
{
	const char *last;
	uint64_t size;

	*out = (struct vp_embedded){ .len = len };
	if (len < LAST_LINE)
		return 0;
	len -= LAST_LINE;
	last = (const char *)file + len;
	if (memcmp(last, MARK, strlen(MARK)) != 0)
		return 0;
	if (!read_size(last + strlen(MARK), &size) || size >= len || len - size > VP_SIGN_FILE_MAX)
		return vp_err_set(err, -ENOEXEC, "the signature at its end is damaged");
	out->len = (size_t)size;
	out->signature = (const char *)file + size;
	out->signature_len = len - (size_t)size;
	return 0;
}

uint8_t *vp_embedded_join(const uint8_t *object, size_t len, const char *signature,
			  size_t signature_len, size_t *out_len)
{
	uint8_t *file = malloc(len + signature_len + LAST_LINE + 1);

	if (!file)
		return NULL;
	memcpy(file, object, len);
	memcpy(file + len, signature, signature_len);
	snprintf((char *)file + len + signature_len, LAST_LINE + 1, MARK "%0*zu\n", (int)DIGITS,
		 len);
	*out_len = len + signature_len + LAST_LINE;
	return file;
}
