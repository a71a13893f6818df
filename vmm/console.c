/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the serial port's output goes.
 *
 * vCPUs put bytes into a bounded ring; one thread writes them out. A slow reader slows the guest
 * (a vCPU waits up to WAIT_MS for room); a reader that has stopped does not stop the guest: bytes
 * are lost, counted, and the output says so where they are missing.
 */
#include "vmm/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS	      1000u
#define POLL_MS	      100
#define LINE_MS	      20u /* how long the start of a line waits for its end */
#define DRAIN_MS      1000u
#define LOST_TEXT_MAX 64u

struct vp_console {
	int fd;
	pthread_t writer;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t data;  /* for the writer: there is something to do */
	pthread_cond_t room;  /* for vCPUs and flush: bytes were written */
	uint64_t head, tail;  /* bytes ever put, ever written; head - tail <= VP_CONSOLE_RING */
	bool urgent;	      /* do not wait for the end of the line */
	bool stalled;	      /* nobody reads: do not wait for room until somebody does */
	bool dead;	      /* writing failed for good */
	bool closing;
	uint64_t lost, lost_told;
	uint8_t ring[VP_CONSOLE_RING];
};

/* Write some bytes; 0: not now, -errno: never again. Without the lock. */
static ssize_t write_some(int fd, const uint8_t *bytes, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	ssize_t done;

	if (poll(&p, 1, POLL_MS) <= 0)
		return 0;
	/* No more than a pipe that polls writable surely takes, so that this does not block. */
	done = write(fd, bytes, n < PIPE_BUF ? n : PIPE_BUF);
	if (done < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return done;
}

static bool have_data(struct vp_console *c)
{
	struct timespec line_end;

	while (c->head == c->tail) {
		c->urgent = false;
		if (c->closing)
			return false;
		pthread_cond_wait(&c->data, &c->lock);
	}
	line_end = vp_deadline(LINE_MS);
	while (!c->urgent && !c->closing)
		if (pthread_cond_timedwait(&c->data, &c->lock, &line_end))
			break;
	return true;
}

static void *writer_main(void *arg)
{
	struct vp_console *c = arg;
	unsigned int waits = 0;

	pthread_mutex_lock(&c->lock);
	while (have_data(c)) {
		size_t at = c->tail % VP_CONSOLE_RING, n = c->head - c->tail;
		ssize_t done;

		if (n > VP_CONSOLE_RING - at)
			n = VP_CONSOLE_RING - at;
		pthread_mutex_unlock(&c->lock);
		/* Nobody changes [tail, head): only this thread moves the tail. */
		done = write_some(c->fd, &c->ring[at], n);
		pthread_mutex_lock(&c->lock);
		if (c->closing && done == 0 && ++waits > DRAIN_MS / POLL_MS)
			done = -ETIMEDOUT;
		if (done < 0) {
			c->dead = true;
			c->lost += c->head - c->tail;
			c->tail = c->head;
		} else if (done > 0) {
			c->tail += (size_t)done;
			c->stalled = false;
		}
		pthread_cond_broadcast(&c->room);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void put(struct vp_console *c, uint8_t byte)
{
	c->ring[c->head++ % VP_CONSOLE_RING] = byte;
}

static bool has_room(const struct vp_console *c, size_t n)
{
	return c->head - c->tail + n <= VP_CONSOLE_RING;
}

/* Where bytes are missing, say so. */
static void put_lost(struct vp_console *c)
{
	char text[LOST_TEXT_MAX];
	int i, n;

	n = snprintf(text, sizeof(text), "\n[vmpoke: %" PRIu64 " bytes of output lost]\n",
		     c->lost - c->lost_told);
	for (i = 0; i < n; i++)
		put(c, (uint8_t)text[i]);
	c->lost_told = c->lost;
}

void vp_console_put(struct vp_console *c, uint8_t byte)
{
	struct timespec end;
	size_t need;

	if (c->fd < 0)
		return;
	end = vp_deadline(WAIT_MS);
	pthread_mutex_lock(&c->lock);
	need = 1 + (c->lost > c->lost_told ? LOST_TEXT_MAX : 0);
	while (!has_room(c, need) && !c->stalled && !c->dead) {
		c->urgent = true;
		pthread_cond_signal(&c->data);
		if (pthread_cond_timedwait(&c->room, &c->lock, &end))
			c->stalled = true;
	}
	if (c->dead || !has_room(c, need)) {
		c->lost++;
		goto out;
	}
	if (c->lost > c->lost_told)
		put_lost(c);
	put(c, byte);
	if (byte == '\n')
		c->urgent = true;
	if (c->urgent || c->head - c->tail == 1)
		pthread_cond_signal(&c->data);
out:
	pthread_mutex_unlock(&c->lock);
}

void vp_console_flush(struct vp_console *c, unsigned int timeout_ms)
{
	struct timespec end = vp_deadline(timeout_ms);
	uint64_t upto;

	pthread_mutex_lock(&c->lock);
	upto = c->head;
	while (c->tail < upto) {
		c->urgent = true;
		pthread_cond_signal(&c->data);
		if (pthread_cond_timedwait(&c->room, &c->lock, &end))
			break;
	}
	pthread_mutex_unlock(&c->lock);
}

uint64_t vp_console_lost(struct vp_console *c)
{
	uint64_t lost;

	pthread_mutex_lock(&c->lock);
	lost = c->lost;
	pthread_mutex_unlock(&c->lock);
	return lost;
}

int vp_console_new(int fd, struct vp_console **out, struct vp_err *err)
{
	struct vp_console *c = calloc(1, sizeof(*c));
	sigset_t all, old;
	int rc;

	if (!c)
		return vp_err_set(err, -ENOMEM, "console: out of memory");
	c->fd = fd;
	pthread_mutex_init(&c->lock, NULL);
	vp_cond_init(&c->data);
	vp_cond_init(&c->room);
	/* Signals are for the program's own threads; SIGPIPE becomes EPIPE. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&c->writer, NULL, writer_main, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		free(c);
		return vp_err_set(err, -rc, "console: cannot make a thread: %s", strerror(rc));
	}
	*out = c;
	return 0;
}

void vp_console_free(struct vp_console *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_cond_signal(&c->data);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->writer, NULL);
	pthread_cond_destroy(&c->data);
	pthread_cond_destroy(&c->room);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
