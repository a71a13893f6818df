/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that are tried again while the guest is at work where they want to write. */
#include <errno.h>
#include <time.h>

#include "control/internal.h"
#include "target/wait.h"

#define NAP_MS	   4u
#define NAP_MAX_MS 64u

bool vp_control_again(struct vp_patience *p, const struct vp_write_args *w, int code)
{
	uint64_t timeout_ms = VP_TIMEOUT_MS;
	struct timespec nap;

	if (code != -EAGAIN ||
	    vp_args_number(w->timeout, "timeout", 1, VP_CONTROL_TIMEOUT_MAX_MS, &timeout_ms, NULL))
		return false;
	if (!p->until_ms)
		*p = (struct vp_patience){ vp_now_ms() + (int64_t)timeout_ms, NAP_MS };
	if (vp_now_ms() >= p->until_ms)
		return false;
	nap = (struct timespec){ .tv_nsec = (long)p->nap_ms * 1000000 };
	nanosleep(&nap, NULL);
	p->nap_ms = p->nap_ms * 3 / 2 < NAP_MAX_MS ? p->nap_ms * 3 / 2 : NAP_MAX_MS;
	return true;
}
