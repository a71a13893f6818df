/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console: a 16550's transmitter, enough to print.
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

#define REG_DATA  0u
#define REG_IER	  1u
#define REG_LCR	  3u
#define REG_LSR	  5u
#define LCR_DLAB  0x80u
#define LSR_EMPTY 0x60u

struct vp_serial {
	int fd;
	pthread_t writer;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t data;  /* for the writer: there is something to do */
	pthread_cond_t room;  /* for vCPUs and flush: bytes were written */
	uint8_t regs[8], latch[2];
	uint64_t head, tail; /* bytes ever put, ever written; head - tail <= VP_SERIAL_RING */
	bool urgent;	     /* do not wait for the end of the line */
	bool stalled;	     /* nobody reads: do not wait for room until somebody does */
	bool dead;	     /* writing failed for good */
	bool closing;
	uint64_t lost, lost_told;
	uint8_t ring[VP_SERIAL_RING];
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

static bool have_data(struct vp_serial *s)
{
	struct timespec line_end;

	while (s->head == s->tail) {
		s->urgent = false;
		if (s->closing)
			return false;
		pthread_cond_wait(&s->data, &s->lock);
	}
	line_end = vp_deadline(LINE_MS);
	while (!s->urgent && !s->closing)
		if (pthread_cond_timedwait(&s->data, &s->lock, &line_end))
			break;
	return true;
}

static void *writer_main(void *arg)
{
	struct vp_serial *s = arg;
	unsigned int waits = 0;

	pthread_mutex_lock(&s->lock);
	while (have_data(s)) {
		size_t at = s->tail % VP_SERIAL_RING, n = s->head - s->tail;
		ssize_t done;

		if (n > VP_SERIAL_RING - at)
			n = VP_SERIAL_RING - at;
		pthread_mutex_unlock(&s->lock);
		/* Nobody changes [tail, head): only this thread moves the tail. */
		done = write_some(s->fd, &s->ring[at], n);
		pthread_mutex_lock(&s->lock);
		if (s->closing && done == 0 && ++waits > DRAIN_MS / POLL_MS)
			done = -ETIMEDOUT;
		if (done < 0) {
			s->dead = true;
			s->lost += s->head - s->tail;
			s->tail = s->head;
		} else if (done > 0) {
			s->tail += (size_t)done;
			s->stalled = false;
		}
		pthread_cond_broadcast(&s->room);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void put(struct vp_serial *s, uint8_t byte)
{
	s->ring[s->head++ % VP_SERIAL_RING] = byte;
}

static bool has_room(const struct vp_serial *s, size_t n)
{
	return s->head - s->tail + n <= VP_SERIAL_RING;
}

/* Where bytes are missing, say so. */
static void put_lost(struct vp_serial *s)
{
	char text[LOST_TEXT_MAX];
	int i, n;

	n = snprintf(text, sizeof(text), "\n[vmpoke: %" PRIu64 " bytes of output lost]\n",
		     s->lost - s->lost_told);
	for (i = 0; i < n; i++)
		put(s, (uint8_t)text[i]);
	s->lost_told = s->lost;
}

static void transmit(struct vp_serial *s, uint8_t byte)
{
	size_t need = 1 + (s->lost > s->lost_told ? LOST_TEXT_MAX : 0);
	struct timespec end = vp_deadline(WAIT_MS);

	if (s->fd < 0)
		return;
	while (!has_room(s, need) && !s->stalled && !s->dead) {
		s->urgent = true;
		pthread_cond_signal(&s->data);
		if (pthread_cond_timedwait(&s->room, &s->lock, &end))
			s->stalled = true;
	}
	if (s->dead || !has_room(s, need)) {
		s->lost++;
		return;
	}
	if (s->lost > s->lost_told)
		put_lost(s);
	put(s, byte);
	if (byte == '\n')
		s->urgent = true;
	if (s->urgent || s->head - s->tail == 1)
		pthread_cond_signal(&s->data);
}

void vp_serial_out(struct vp_serial *s, unsigned int reg, uint8_t value)
{
	pthread_mutex_lock(&s->lock);
	/* With DLAB set the first two registers are the baud rate: nothing is printed. */
	if (reg <= REG_IER && s->regs[REG_LCR] & LCR_DLAB) {
		s->latch[reg] = value;
	} else {
		s->regs[reg & 7] = value;
		if (reg == REG_DATA)
			transmit(s, value);
	}
	pthread_mutex_unlock(&s->lock);
}

uint8_t vp_serial_in(struct vp_serial *s, unsigned int reg)
{
	uint8_t value;

	pthread_mutex_lock(&s->lock);
	if (reg == REG_LSR)
		value = LSR_EMPTY;
	else if (reg <= REG_IER && s->regs[REG_LCR] & LCR_DLAB)
		value = s->latch[reg];
	else
		value = s->regs[reg & 7];
	pthread_mutex_unlock(&s->lock);
	return value;
}

void vp_serial_flush(struct vp_serial *s, unsigned int timeout_ms)
{
	struct timespec end = vp_deadline(timeout_ms);
	uint64_t upto;

	pthread_mutex_lock(&s->lock);
	upto = s->head;
	while (s->tail < upto) {
		s->urgent = true;
		pthread_cond_signal(&s->data);
		if (pthread_cond_timedwait(&s->room, &s->lock, &end))
			break;
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t vp_serial_lost(struct vp_serial *s)
{
	uint64_t lost;

	pthread_mutex_lock(&s->lock);
	lost = s->lost;
	pthread_mutex_unlock(&s->lock);
	return lost;
}

int vp_serial_new(int fd, struct vp_serial **out, struct vp_err *err)
{
	struct vp_serial *s = calloc(1, sizeof(*s));
	sigset_t all, old;
	int rc;

	if (!s)
		return vp_err_set(err, -ENOMEM, "console: out of memory");
	s->fd = fd;
	pthread_mutex_init(&s->lock, NULL);
	vp_cond_init(&s->data);
	vp_cond_init(&s->room);
	/* Signals are for the program's own threads; SIGPIPE becomes EPIPE. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->writer, NULL, writer_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		free(s);
		return vp_err_set(err, -rc, "console: cannot make a thread: %s", strerror(rc));
	}
	*out = s;
	return 0;
}

void vp_serial_free(struct vp_serial *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_signal(&s->data);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->writer, NULL);
	pthread_cond_destroy(&s->data);
	pthread_cond_destroy(&s->room);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
