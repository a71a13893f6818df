/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that the QMP server carries out, each on a thread of its own, so that one that takes
 * long keeps nobody waiting but its own client; and those that are to come one after the other.
 */
#ifndef VP_TARGET_QMP_JOBS_H
#define VP_TARGET_QMP_JOBS_H

#include <pthread.h>

#include "target/qmp.h"

struct vp_qmp_jobs;

/* One command. The first block is the caller's, the second is filled when it is done. */
struct vp_qmp_job {
	const struct vp_qmp_command *command;
	void *arg;
	const struct vp_qmp_around *around; /* NULL: nothing */
	json_t *args, *id;		    /* owned; id may be NULL */
	size_t client;
	uid_t uid;
	pid_t pid;

	json_t *ret; /* owned; NULL: code and err say why */
	int fd;	     /* borrowed; -1: none */
	int code;
	struct vp_err err;

	struct vp_qmp_job *next; /* qmp_jobs.c's own */
	struct vp_qmp_jobs *jobs;
	pthread_t thread;
	uint64_t ticket;
};

/* @wake_fd: an eventfd that is written when a command is done. NULL: no memory. */
struct vp_qmp_jobs *vp_qmp_jobs_new(int wake_fd);

/* None may be running any more. NULL is fine. */
void vp_qmp_jobs_free(struct vp_qmp_jobs *jobs);

/*
 * Begin a command (calloc()ed, stolen). Those that are VP_QMP_IN_TURN run one after the other, in
 * the order of these calls. Where there can be no thread it is done when this returns.
 */
void vp_qmp_jobs_start(struct vp_qmp_jobs *jobs, struct vp_qmp_job *job);

/* A command that is done, to be freed by vp_qmp_job_free(); NULL: none is. */
struct vp_qmp_job *vp_qmp_jobs_take(struct vp_qmp_jobs *jobs);

/* The same, but wait for one. NULL: none is running. */
struct vp_qmp_job *vp_qmp_jobs_wait(struct vp_qmp_jobs *jobs);
void vp_qmp_job_free(struct vp_qmp_job *job);

/* Carry it out here and now. */
void vp_qmp_job_run(struct vp_qmp_job *job);

/* The command that this thread carries out; NULL: none. */
const struct vp_qmp_job *vp_qmp_job_current(void);

#endif /* VP_TARGET_QMP_JOBS_H */
