/* SPDX-License-Identifier: Apache-2.0 */
#include "control/exit_code.h"

#include <errno.h>

int vp_exit_code(int err)
{
	switch (err) {
	case 0:
		return VP_EXIT_OK;
	case -EUCLEAN: /* of this command, or of one that was killed */
		return VP_EXIT_HALF;
	case -EAGAIN:
	case -ETIMEDOUT:
	case -ECANCELED: /* a write failed and was taken back */
		return VP_EXIT_ROLLED_BACK;
	case -EACCES:
	case -EPERM:
	case -EPROTO:
	case -EPIPE:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ENOTCONN:
	case -ENETDOWN:
	case -EREMOTEIO: /* the target failed before anything was written */
	case -EIO:
		return VP_EXIT_UNREACHABLE;
	case -ENODEV:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return VP_EXIT_HOST;
	case -ENOKEY:
		return VP_EXIT_ENCRYPTED;
	case -ENOEXEC:
		return VP_EXIT_FILE;
	case -VP_EAPPLIED:
		return VP_EXIT_FAILED;
	default:
		/*
		 * -EINVAL, -EFAULT, -ESTALE, -EBUSY, -ENOENT, -EEXIST, -ERANGE, -ENOSPC, -EROFS,
		 * -EOPNOTSUPP, -EBADMSG and whatever else a check may give: no command gives it
		 * once it has written (apply.c, where_it_got()).
		 */
		return VP_EXIT_REFUSED;
	}
}

int vp_exit_code_of_open(int err)
{
	int code = vp_exit_code(err);

	return err == -ENOENT || err == -ETIMEDOUT ? VP_EXIT_UNREACHABLE : code;
}
