/* SPDX-License-Identifier: Apache-2.0 */
#include "target/wait.h"

int64_t vp_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t vp_now_ms(void)
{
	return vp_now_us() / 1000;
}

struct timespec vp_deadline(unsigned int timeout_ms)
{
	return vp_deadline_us((uint64_t)timeout_ms * 1000);
}

struct timespec vp_deadline_us(uint64_t timeout_us)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(timeout_us / 1000000);
	t.tv_nsec += (long)(timeout_us % 1000000) * 1000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

void vp_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}
