/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller has a target keep (struct vp_break_ops, keep() and kept()). */
#ifndef VP_TARGET_KEPT_H
#define VP_TARGET_KEPT_H

#include <errno.h>
#include <string.h>

#include <vmpoke/target.h>

static inline int vp_kept_put(uint8_t kept[VP_KEPT_MAX], size_t *n, const void *data, size_t len,
			      struct vp_err *err)
{
	if (len > VP_KEPT_MAX)
		return vp_err_set(err, -EINVAL, "%zu bytes are too many to be kept", len);
	if (len)
		memcpy(kept, data, len);
	*n = len;
	return 0;
}

static inline int vp_kept_get(const uint8_t kept[VP_KEPT_MAX], size_t n, void *data, size_t size,
			      size_t *len, struct vp_err *err)
{
	*len = 0;
	if (n > size)
		return vp_err_set(err, -EBADMSG, "%zu bytes were kept, which are too many", n);
	memcpy(data, kept, n);
	*len = n;
	return 0;
}

#endif /* VP_TARGET_KEPT_H */
