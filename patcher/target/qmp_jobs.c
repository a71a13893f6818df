/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "target/qmp_jobs.h"

struct vp_qmp_jobs {
	int wake_fd;
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	uint64_t tickets, turn; /* given out; whose turn it is */
	unsigned int running;
	struct vp_qmp_job *first, **last; /* done, and not taken */
};

static __thread const struct vp_qmp_job *current;

const struct vp_qmp_job *vp_qmp_job_current(void)
{
	return current;
}

struct vp_qmp_jobs *vp_qmp_jobs_new(int wake_fd)
{
	struct vp_qmp_jobs *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->wake_fd = wake_fd;
	j->last = &j->first;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->changed, NULL);
	return j;
}

void vp_qmp_jobs_free(struct vp_qmp_jobs *j)
{
	if (!j)
		return;
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

void vp_qmp_job_free(struct vp_qmp_job *job)
{
	if (!job)
		return;
	json_decref(job->args);
	json_decref(job->id);
	json_decref(job->ret);
	free(job);
}

static bool is_in_turn(const struct vp_qmp_job *job)
{
	return job->command->how == VP_QMP_IN_TURN;
}

void vp_qmp_job_run(struct vp_qmp_job *job)
{
	const struct vp_qmp_around *around = is_in_turn(job) ? job->around : NULL;
	void *arg = job->arg;

	current = job;
	if (around)
		arg = around->begin(job->arg, &job->code, &job->err);
	if (arg || !around)
		job->ret = job->command->fn(arg, job->args, &job->fd, &job->code, &job->err);
	if (arg && around)
		around->end(job->arg, arg);
	current = NULL;
}

static void await_turn(struct vp_qmp_job *job)
{
	struct vp_qmp_jobs *j = job->jobs;

	pthread_mutex_lock(&j->lock);
	while (is_in_turn(job) && j->turn != job->ticket)
		pthread_cond_wait(&j->changed, &j->lock);
	pthread_mutex_unlock(&j->lock);
}

static void finish(struct vp_qmp_job *job)
{
	struct vp_qmp_jobs *j = job->jobs;

	pthread_mutex_lock(&j->lock);
	if (is_in_turn(job))
		j->turn++;
	*j->last = job;
	j->last = &job->next;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	(void)!write(j->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void *run(void *arg)
{
	struct vp_qmp_job *job = arg;

	await_turn(job);
	vp_qmp_job_run(job);
	finish(job);
	return NULL;
}

void vp_qmp_jobs_start(struct vp_qmp_jobs *j, struct vp_qmp_job *job)
{
	job->jobs = j;
	pthread_mutex_lock(&j->lock);
	if (is_in_turn(job))
		job->ticket = j->tickets++;
	j->running++;
	pthread_mutex_unlock(&j->lock);
	if (!pthread_create(&job->thread, NULL, run, job))
		return;
	/* Others wait for once. */
	run(job);
	job->thread = pthread_self();
}

/* With the lock. */
static struct vp_qmp_job *take(struct vp_qmp_jobs *j)
{
	struct vp_qmp_job *job = j->first;

	if (!job)
		return NULL;
	j->first = job->next;
	if (!j->first)
		j->last = &j->first;
	j->running--;
	return job;
}

static struct vp_qmp_job *joined(struct vp_qmp_job *job)
{
	if (job && !pthread_equal(job->thread, pthread_self()))
		pthread_join(job->thread, NULL);
	return job;
}

struct vp_qmp_job *vp_qmp_jobs_take(struct vp_qmp_jobs *j)
{
	struct vp_qmp_job *job;

	pthread_mutex_lock(&j->lock);
	job = take(j);
	pthread_mutex_unlock(&j->lock);
	return joined(job);
}

struct vp_qmp_job *vp_qmp_jobs_wait(struct vp_qmp_jobs *j)
{
	struct vp_qmp_job *job;

	pthread_mutex_lock(&j->lock);
	while (!j->first && j->running)
		pthread_cond_wait(&j->changed, &j->lock);
	job = take(j);
	pthread_mutex_unlock(&j->lock);
	return joined(job);
}
