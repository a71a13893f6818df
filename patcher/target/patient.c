/* SPDX-License-Identifier: Apache-2.0 */
#include "target/patient.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "target/wait.h"

struct call {
	void (*fn)(void *arg), (*discard)(void *arg);
	void *arg;
	pthread_mutex_t lock; /* over the two below */
	pthread_cond_t ended;
	bool done, given_up;
};

static void call_free(struct call *c)
{
	pthread_cond_destroy(&c->ended);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void *run(void *arg)
{
	struct call *c = arg;
	bool mine;

	c->fn(c->arg);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	mine = c->given_up;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->lock);
	if (mine) {
		c->discard(c->arg);
		call_free(c);
	}
	return NULL;
}

static int start(struct call *c)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, run, c);
	pthread_attr_destroy(&attr);
	return rc ? -EAGAIN : 0;
}

int vp_patient_call(void (*fn)(void *arg), void *arg, void (*discard)(void *arg),
		    unsigned int timeout_ms)
{
	struct timespec deadline = vp_deadline(timeout_ms);
	struct call *c = calloc(1, sizeof(*c));
	bool late = false;

	if (!c)
		return -EAGAIN;
	*c = (struct call){ .fn = fn, .discard = discard, .arg = arg };
	pthread_mutex_init(&c->lock, NULL);
	vp_cond_init(&c->ended);
	if (start(c)) {
		call_free(c);
		return -EAGAIN;
	}
	pthread_mutex_lock(&c->lock);
	while (!c->done && !late)
		late = pthread_cond_timedwait(&c->ended, &c->lock, &deadline) == ETIMEDOUT;
	late = !c->done;
	c->given_up = late;
	pthread_mutex_unlock(&c->lock);
	if (late)
		return -ETIMEDOUT;
	call_free(c);
	return 0;
}
