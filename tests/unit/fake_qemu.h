/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QEMU for tests: a main loop on a thread that serves a QMP socket and a gdbstub, as QEMU 7.2
 * does as far as docs/qemu.md tells; and that misbehaves on demand.
 */
#ifndef VP_FAKE_QEMU_H
#define VP_FAKE_QEMU_H

#include <vmpoke/types.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "target/qmp_wire.h"

#define FAKE_FDS 64
#define FAKE_RAM 0x200000u /* bytes, from guest-physical 0; 0xa0000 to 0xfffff is not RAM */

enum fake_fault {
	FAKE_NONE,
	FAKE_SILENT,  /* no answer, to this and all that follows, until the fault is taken away */
	FAKE_CLOSE,   /* close the connection instead of an answer */
	FAKE_GARBAGE, /* bytes that mean nothing, then silence */
	FAKE_HUGE,    /* an answer that does not end */
	FAKE_ERROR,   /* an error for an answer */
	FAKE_ODD,     /* an answer of another shape */
	FAKE_FAULTS,
};

struct fake_qemu {
	/* Set before the start or under the lock. */
	const char *arch, *uuid, *registers;
	unsigned int hidden_vcpus; /* of which `info registers -a` shows nothing */
	int major, minor;
	const char *state;    /* QMP's name of it while it does not run: "paused", "postmigrate" */
	const char *stops_as; /* what it is when it was stopped; NULL: "paused" */
	const char *migrate;  /* the status of a migration; NULL: none since it began */
	/* "sev-guest", "tdx-guest", ...: what the machine is given. What query-sev answers: no
	 * SEV in this QEMU, SEV that is off, or SEV, and its policy.
	 */
	const char *confidential;
	enum { FAKE_SEV_NONE, FAKE_SEV_OFF, FAKE_SEV_ON } sev;
	int sev_policy;
	const char *sev_type; /* from QEMU 9.1 on; NULL */
	bool not_ram;	      /* writes are swallowed */
	bool no_monitor;      /* the stub passes no commands on: it is gdbserver's, say */
	bool no_pmemsave;     /* it may not open what it was given */
	bool direct;	      /* it tells where in our process its memory is (gpa2hva) */
	uint64_t tells;	      /* if not 0: so many bytes beside that, above 1.5 MB */
	bool unused_chardev;  /* no front end has that device open */
	char chardev[160];    /* the label and file name of one more character device; "": none */
	unsigned int eager; /* bits of the next packets: before each its owner lets the VM go on */
	unsigned int stop_ms;	/* how long it takes to be stopped by a debugger */
	unsigned int detach_ms; /* how long a detach takes */
	enum fake_fault fault;
	unsigned int fault_at; /* with which message, counted from 1: QMP and gdbstub together */

	pthread_mutex_t lock;
	sem_t started; /* the thread runs */
	bool running;
	bool physical;
	uint8_t ram[FAKE_RAM];
	unsigned int messages, stops, resumes, conts; /* conts: QMP's command */
	unsigned int packets,
		turns;	    /* of the messages those of the stub, and how often they came */
	uint8_t *elsewhere; /* if not NULL: what the stub takes for RAM, and others do not */

	char dir[32], qmp_path[48], gdb_path[48];
	pthread_t thread;
	int wake[2], qmp_listen, gdb_listen;
	int qmp, stub; /* connections, or -1 */
	bool mute_qmp, mute_stub;
	bool own_stub;	 /* the stub is a character device made through QMP */
	bool may_tell;	 /* from 8.1 on it tells of a stop only when it was asked to run */
	bool attached;	 /* the stub's debugger has not detached */
	bool unanswered; /* the stub's last packet waits for its acknowledgement */
	int passed;	 /* by getfd */
	struct fake_fd {
		int fd;
		char *opaque;
	} shared[FAKE_FDS]; /* by add-fd; they stay, as from QEMU 9.1 on */
	size_t nshared;
	struct vp_qmp_in in;
	char packet[0x20020];
	size_t packet_len;
	size_t packet_size;   /* what the stub says that it takes, and takes */
	size_t longest;	      /* packet that it got */
	const char *features; /* what it says besides */
	unsigned int packet_state;
	uint64_t breaks[8]; /* Z1 */
	size_t nbreaks;
	bool no_breaks, deaf; /* it sets none; it keeps the registers that it has */
	uint8_t regs[2][140]; /* of each vCPU, as `g` and `G` begin */
	unsigned int vcpu;    /* that Hg has chosen */
	unsigned int listed;  /* of the threads */
	/* Called when vCont has let it go on. */
	void (*went_on)(struct fake_qemu *q);
	char *hmp; /* what gdbserver prints */
};

/* Running, with nobody connected. */
struct fake_qemu *fake_qemu_new(void);
void fake_qemu_free(struct fake_qemu *q);

/* Under the lock: the VM's owner. */
void fake_qemu_pause(struct fake_qemu *q);
void fake_qemu_cont(struct fake_qemu *q);

/* Take the fault away: whoever is connected and was not answered is dropped. */
void fake_qemu_heal(struct fake_qemu *q);

/* Registers of two vCPUs in 64-bit mode as `info registers -a` prints them. */
extern const char fake_registers[];

/* Called in the gdbstub's half, fake_stub.c. */
void fake_stub_open(struct fake_qemu *q, int fd, bool own);
void fake_stub_close(struct fake_qemu *q);
void fake_stub_bytes(struct fake_qemu *q, const char *bytes, size_t n);
void fake_stub_stopped(struct fake_qemu *q);

/* The human monitor: what it prints; the caller frees it. */
char *fake_qemu_hmp(struct fake_qemu *q, const char *command);

/* Is this message the one that goes wrong? Carries the fault out on @fd. */
bool fake_qemu_fault(struct fake_qemu *q, int *fd, bool *mute, const char *error, const char *odd);

#endif /* VP_FAKE_QEMU_H */
