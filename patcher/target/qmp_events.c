/* SPDX-License-Identifier: Apache-2.0 */
#include "target/qmp_events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/qmp_wire.h"

void vp_qmp_events_init(struct vp_qmp_events *q)
{
	*q = (struct vp_qmp_events){ .last = &q->first };
	pthread_mutex_init(&q->lock, NULL);
}

void vp_qmp_events_clear(struct vp_qmp_events *q)
{
	struct vp_qmp_event *e, *next;

	for (e = vp_qmp_events_take(q); e; e = next) {
		next = e->next;
		vp_qmp_event_free(e);
	}
	pthread_mutex_destroy(&q->lock);
}

void vp_qmp_event_free(struct vp_qmp_event *e)
{
	free(e->text);
	free(e);
}

void vp_qmp_events_put(struct vp_qmp_events *q, const char *name, json_t *data)
{
	struct vp_qmp_event *e = malloc(sizeof(*e));
	struct timespec now;
	json_t *message;

	clock_gettime(CLOCK_REALTIME, &now);
	message = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
			    "microseconds", (json_int_t)(now.tv_nsec / 1000), "event", name);
	if (data)
		json_object_set_new(message, "data", data);
	if (!e) {
		json_decref(message);
		return;
	}
	*e = (struct vp_qmp_event){ .text = vp_qmp_dump(message) };
	pthread_mutex_lock(&q->lock);
	/* A server that is busy for long must not make its callers fill the memory. */
	if (e->text && q->queued < VP_QMP_OUTPUT_MAX) {
		q->queued += strlen(e->text);
		*q->last = e;
		q->last = &e->next;
		e = NULL;
	}
	pthread_mutex_unlock(&q->lock);
	if (e)
		vp_qmp_event_free(e);
}

struct vp_qmp_event *vp_qmp_events_take(struct vp_qmp_events *q)
{
	struct vp_qmp_event *list;

	pthread_mutex_lock(&q->lock);
	list = q->first;
	q->first = NULL;
	q->last = &q->first;
	q->queued = 0;
	pthread_mutex_unlock(&q->lock);
	return list;
}
