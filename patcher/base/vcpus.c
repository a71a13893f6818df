/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vcpus.h"

#include <errno.h>

int vp_each_vcpu(struct vp_target *t,
		 int (*fn)(void *arg, int vcpu, const struct vp_vcpu_state *state), void *arg,
		 struct vp_err *err)
{
	int rc = 0;

	for (int vcpu = 0; vcpu < VP_VCPU_NUMBERS && !rc; vcpu++) {
		struct vp_vcpu_state state;
		struct vp_err why = { "" }; /* of a number that is not taken, too */

		rc = t->ops->hold(t, vcpu, &state, &why);
		if (rc == -ERANGE)
			return 0;
		if (rc && rc != -ENOENT)
			return vp_err_set(err, rc, "%s", why.text);
		if (rc) {
			rc = 0;
			continue;
		}
		rc = fn(arg, vcpu, &state);
		t->ops->release(t);
	}
	return rc;
}
