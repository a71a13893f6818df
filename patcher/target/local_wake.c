/* SPDX-License-Identifier: Apache-2.0 */
/* Waking who sleeps, on both sides. */
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
	pthread_mutex_lock(&l->wait_lock);
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->wait_lock);
}
