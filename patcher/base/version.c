/* SPDX-License-Identifier: Apache-2.0 */
#include <vmpoke/version.h>

const char *vp_version(void)
{
	return VP_VERSION;
}
