/* SPDX-License-Identifier: Apache-2.0 */
/* The events that the QMP server is to send: put in by any thread, taken out by its own. */
#ifndef VP_TARGET_QMP_EVENTS_H
#define VP_TARGET_QMP_EVENTS_H

#include <jansson.h>
#include <pthread.h>

struct vp_qmp_event {
	struct vp_qmp_event *next;
	char *text;
};

struct vp_qmp_events {
	pthread_mutex_t lock; /* protects what follows */
	struct vp_qmp_event *first, **last;
	size_t queued; /* bytes */
};

void vp_qmp_events_init(struct vp_qmp_events *q);
void vp_qmp_events_clear(struct vp_qmp_events *q);

/* Any thread. @data is stolen; may be NULL. Dropped if too much waits already. */
void vp_qmp_events_put(struct vp_qmp_events *q, const char *name, json_t *data);

/* All of them, oldest first, each to be freed by vp_qmp_event_free(); NULL: none waits. */
struct vp_qmp_event *vp_qmp_events_take(struct vp_qmp_events *q);
void vp_qmp_event_free(struct vp_qmp_event *e);

#endif /* VP_TARGET_QMP_EVENTS_H */
