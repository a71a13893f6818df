/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/execmem.h"
#include "linux/internal.h"

bool vp_linux_execmem(const struct vp_linux *l, uint32_t *text, uint32_t *data)
{
	*text = l->execmem.text;
	*data = l->execmem.data;
	return l->execmem.known;
}
