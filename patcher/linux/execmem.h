/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's allocator of module memory is to be asked for, from 6.10 on. */
#ifndef VP_LINUX_EXECMEM_H
#define VP_LINUX_EXECMEM_H

#include <vmpoke/linux.h>

/* Values of enum execmem_type for text and data. False: the type information does not tell. */
bool vp_linux_execmem(const struct vp_linux *l, uint32_t *text, uint32_t *data);

#endif /* VP_LINUX_EXECMEM_H */
