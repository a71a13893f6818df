/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial port: a 16550A (PC16550D data sheet, National Semiconductor), as far as software sees
 * it. It transmits at once, so the transmitter is always empty.
 *
 * Input waits in a ring of the host's and goes into the guest's FIFO while the guest holds up DTR
 * and RTS, "ready" and "go on": what is typed before the guest has opened its port is not lost.
 */
#include "vmm/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIFO 16u

#define REG_DATA 0u /* with DLAB: divisor, low */
#define REG_IER	 1u /* with DLAB: divisor, high */
#define REG_IIR	 2u /* written: FCR */
#define REG_LCR	 3u
#define REG_MCR	 4u
#define REG_LSR	 5u
#define REG_MSR	 6u
#define REG_SCR	 7u

#define IER_RX	  0x01u
#define IER_TX	  0x02u
#define IER_ALL	  0x0fu
#define IIR_NONE  0x01u
#define IIR_TX	  0x02u
#define IIR_RX	  0x04u
#define IIR_FIFO  0xc0u
#define FCR_ON	  0x01u
#define FCR_RESET 0x02u /* of the receiver's FIFO */
#define LCR_DLAB  0x80u
#define MCR_DTR	  0x01u
#define MCR_RTS	  0x02u
#define MCR_OUT2  0x08u /* on a PC the gate of the interrupt line */
#define MCR_LOOP  0x10u
#define MCR_ALL	  0x1fu
#define LSR_DATA  0x01u
#define LSR_EMPTY 0x60u /* nothing waits to be transmitted */
#define MSR_READY 0xb0u /* CTS, DSR, DCD: somebody is at the other end */

struct vp_serial {
	struct vp_console *console;
	vp_serial_irq irq;
	void *irq_arg;

	pthread_mutex_t
		lock; /* all below; held while irq() is called, so that levels come in order */
	uint8_t ier, fcr, lcr, mcr, scr, divisor[2];
	bool tx_pending; /* "transmitter empty" was not yet told by IIR */
	bool level;	 /* of the interrupt line */
	uint8_t fifo[FIFO];
	unsigned int fifo_at, fifo_len;
	uint64_t head, tail; /* of the host's ring, as in console.c */
	uint8_t ring[VP_SERIAL_INPUT];
};

static uint8_t reason(const struct vp_serial *s)
{
	if (s->ier & IER_RX && s->fifo_len)
		return IIR_RX;
	if (s->ier & IER_TX && s->tx_pending)
		return IIR_TX;
	return IIR_NONE;
}

static void fifo_put(struct vp_serial *s, uint8_t byte)
{
	if (s->fifo_len < FIFO)
		s->fifo[(s->fifo_at + s->fifo_len++) % FIFO] = byte;
}

static uint8_t fifo_get(struct vp_serial *s)
{
	uint8_t byte = s->fifo[s->fifo_at];

	if (!s->fifo_len)
		return 0;
	s->fifo_at = (s->fifo_at + 1) % FIFO;
	s->fifo_len--;
	return byte;
}

/* After any change: let input in, and put the interrupt line where it belongs. */
static void update(struct vp_serial *s)
{
	bool open = (s->mcr & (MCR_DTR | MCR_RTS | MCR_LOOP)) == (MCR_DTR | MCR_RTS), level;

	while (open && s->fifo_len < FIFO && s->tail < s->head)
		fifo_put(s, s->ring[s->tail++ % VP_SERIAL_INPUT]);
	level = reason(s) != IIR_NONE && s->mcr & MCR_OUT2;
	if (level == s->level)
		return;
	s->level = level;
	if (s->irq)
		s->irq(s->irq_arg, level);
}

/* True: @value goes out. */
static bool transmit(struct vp_serial *s, uint8_t value)
{
	s->tx_pending = true;
	if (!(s->mcr & MCR_LOOP))
		return true;
	fifo_put(s, value);
	return false;
}

/* True: @value is to be printed. */
static bool write_reg(struct vp_serial *s, unsigned int reg, uint8_t value)
{
	if (reg <= REG_IER && s->lcr & LCR_DLAB) {
		s->divisor[reg] = value;
		return false;
	}
	switch (reg) {
	case REG_DATA:
		return transmit(s, value);
	case REG_IER:
		/* Switched on while the transmitter is empty, it interrupts at once. */
		s->tx_pending |= value & ~s->ier & IER_TX;
		s->ier = value & IER_ALL;
		break;
	case REG_IIR:
		if (value & FCR_RESET)
			s->fifo_len = 0;
		s->fcr = value & FCR_ON;
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		s->mcr = value & MCR_ALL;
		break;
	case REG_SCR:
		s->scr = value;
		break;
	}
	return false;
}

/* In loopback the modem's inputs are its own outputs: DTR is DSR, RTS CTS, OUT1 RI, OUT2 DCD. */
static uint8_t modem_status(const struct vp_serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_READY;
	return (uint8_t)((s->mcr & MCR_DTR) << 5 | (s->mcr & MCR_RTS) << 3 | (s->mcr & 0x0cu) << 4);
}

static uint8_t read_iir(struct vp_serial *s)
{
	uint8_t value = reason(s);

	if (value == IIR_TX)
		s->tx_pending = false;
	return value | (s->fcr & FCR_ON ? IIR_FIFO : 0);
}

static uint8_t read_reg(struct vp_serial *s, unsigned int reg)
{
	if (reg <= REG_IER && s->lcr & LCR_DLAB)
		return s->divisor[reg];
	switch (reg) {
	case REG_DATA:
		return fifo_get(s);
	case REG_IER:
		return s->ier;
	case REG_IIR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return LSR_EMPTY | (s->fifo_len ? LSR_DATA : 0);
	case REG_MSR:
		return modem_status(s);
	default:
		return s->scr;
	}
}

void vp_serial_out(struct vp_serial *s, unsigned int reg, uint8_t value)
{
	bool print;

	pthread_mutex_lock(&s->lock);
	print = write_reg(s, reg & 7, value);
	update(s);
	pthread_mutex_unlock(&s->lock);
	/* Without the lock: this may wait for a slow reader, and input must come in meanwhile. */
	if (print)
		vp_console_put(s->console, value);
}

uint8_t vp_serial_in(struct vp_serial *s, unsigned int reg)
{
	uint8_t value;

	pthread_mutex_lock(&s->lock);
	value = read_reg(s, reg & 7);
	update(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

size_t vp_serial_input(struct vp_serial *s, const uint8_t *bytes, size_t n)
{
	size_t done;

	pthread_mutex_lock(&s->lock);
	for (done = 0; done < n && s->head - s->tail < VP_SERIAL_INPUT; done++)
		s->ring[s->head++ % VP_SERIAL_INPUT] = bytes[done];
	update(s);
	pthread_mutex_unlock(&s->lock);
	return done;
}

void vp_serial_flush(struct vp_serial *s, unsigned int timeout_ms)
{
	vp_console_flush(s->console, timeout_ms);
}

uint64_t vp_serial_lost(struct vp_serial *s)
{
	return vp_console_lost(s->console);
}

int vp_serial_new(int fd, vp_serial_irq irq, void *irq_arg, struct vp_serial **out,
		  struct vp_err *err)
{
	struct vp_serial *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return vp_err_set(err, -ENOMEM, "serial port: out of memory");
	rc = vp_console_new(fd, &s->console, err);
	if (rc) {
		free(s);
		return rc;
	}
	s->irq = irq;
	s->irq_arg = irq_arg;
	pthread_mutex_init(&s->lock, NULL);
	*out = s;
	return 0;
}

void vp_serial_free(struct vp_serial *s)
{
	if (!s)
		return;
	vp_console_free(s->console);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
