/* SPDX-License-Identifier: Apache-2.0 */
/* Waking who sleeps, on both sides. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target/local_internal.h"

void vp_local_notify(struct vp_local *l)
{
	/* Our answer was stored before; the asking thread sets `waiting` before it reads answers.
	 */
	if (!atomic_load(&l->waiting))
		return;
	pthread_mutex_lock(&l->wait_lock);
	pthread_cond_broadcast(&l->answered);
	pthread_mutex_unlock(&l->wait_lock);
}

void vp_local_wake(struct vp_local *l)
{
	atomic_fetch_add(&l->changes, 1);
	syscall(SYS_futex, &l->changes, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
