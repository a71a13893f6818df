/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting with a limit, on the clock that nobody sets. */
#ifndef VP_TARGET_WAIT_H
#define VP_TARGET_WAIT_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Milliseconds, microseconds, on that clock. */
int64_t vp_now_ms(void);
int64_t vp_now_us(void);

/* Now + @timeout, for pthread_cond_timedwait() on a condition of vp_cond_init(). */
struct timespec vp_deadline(unsigned int timeout_ms);
struct timespec vp_deadline_us(uint64_t timeout_us);

/* What a target's lock() says to a thread that has it already (-EDEADLK). */
#define VP_IN_CALLBACK                                                                       \
	"this may not be called from a callback of the engine: it would wait for the batch " \
	"that it is called from"

/* A condition whose timed waits use CLOCK_MONOTONIC. */
void vp_cond_init(pthread_cond_t *cond);

#endif /* VP_TARGET_WAIT_H */
