/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the gdbstub client share: one exchange of packets. */
#ifndef VP_TARGET_GDB_INTERNAL_H
#define VP_TARGET_GDB_INTERNAL_H

#include "target/gdb.h"
#include "target/gdb_wire.h"

struct vp_gdb {
	int sock;
	unsigned int timeout_ms;
	bool broken;
	bool ran;	       /* somebody let the VM go on while we held it */
	bool probed;	       /* the last answer took so long that we asked behind it */
	bool physical;	       /* addresses of memory are guest-physical */
	bool unsure;	       /* ... or may be: that was asked for, and not answered */
	bool paused_elsewhere; /* when we last wanted to stop it, somebody had */
	size_t packet;	       /* the longest that the stub takes */
	size_t chunk;	       /* bytes of memory a packet */
	struct vp_gdb_in in;
	char payload[VP_GDB_PACKET_MAX], frame[VP_GDB_PACKET_MAX + 8]; /* what is being sent */
	size_t queued; /* of frame: packets that are to go out together */
	bool holds;    /* they do not yet */
};

/* A question whose answer cannot be taken for another. */
#define VP_GDB_PROBE	    "qSupported:multiprocess+"
#define VP_GDB_PROBE_ANSWER "PacketSize="

/* Begin an exchange: its deadline, and whether the connection still works. */
int vp_gdb_begin(struct vp_gdb *g, int64_t *deadline, struct vp_err *err);

/*
 * Send a packet. -EINVAL: the stub takes none that long. After vp_gdb_hold() it goes out with those
 * that follow, by vp_gdb_flush(): a packet by itself wakes QEMU, and us, once more.
 */
void vp_gdb_hold(struct vp_gdb *g);
int vp_gdb_flush(struct vp_gdb *g, int64_t deadline, struct vp_err *err);
int vp_gdb_ask(struct vp_gdb *g, int64_t deadline, struct vp_err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int vp_gdb_send(struct vp_gdb *g, const char *payload, size_t len, int64_t deadline,
		struct vp_err *err);

/*
 * Take its answer. Stop replies may stand before it (somebody paused the VM, which was stopped
 * anyway): they are counted in @stops, which may be NULL.
 */
int vp_gdb_answer(struct vp_gdb *g, char **payload, size_t *len, unsigned int *stops,
		  int64_t deadline, struct vp_err *err);
int vp_gdb_want_ok(struct vp_gdb *g, const char *what, int64_t deadline, struct vp_err *err);
int vp_gdb_unexpected(const char *what, const char *payload, struct vp_err *err);

/* End it: @rc is how it went; the connection is broken afterwards unless that is 0. */
int vp_gdb_finish(struct vp_gdb *g, int rc, int64_t deadline, struct vp_err *err);

/*
 * Somebody has let the VM go on, and a request of ours was lost by that: pass the answers to all
 * that were sent by. -EAGAIN, or what broke the connection.
 */
int vp_gdb_lost(struct vp_gdb *g, int64_t deadline, struct vp_err *err);

/* Have addresses be guest-physical, or not; or ask for that, and the caller takes the answer. */
int vp_gdb_physical(struct vp_gdb *g, bool on, int64_t deadline, struct vp_err *err);
int vp_gdb_ask_physical(struct vp_gdb *g, bool on, int64_t deadline, struct vp_err *err);

/* Where in the pieces: what was asked for, what has arrived. */
struct vp_gdb_cursor {
	size_t piece, at;
};

/* Pieces on their way, as many packets as it takes, sent ahead of their answers (gdb_memory.c). */
struct vp_gdb_transfer {
	struct vp_gdb *g;
	struct vp_gdb_look what;
	bool write;
	bool virtual; /* addresses are to be so again behind it */
	bool mode;    /* the answer to what addresses are is on its way, before all others */
	bool behind;  /* all was asked */
	struct vp_gdb_cursor asked, got;
	size_t requests, bytes; /* under way */
	bool differs;		/* something that was written reads otherwise ... */
	uint64_t where;
	int64_t deadline;
};

/* What vp_gdb_look.rips wants, and its answers (gdb_rips.c). */
int vp_gdb_rips_ask(struct vp_gdb *g, const struct vp_gdb_rips *r, int64_t deadline,
		    struct vp_err *err);
int vp_gdb_rips_take(struct vp_gdb *g, struct vp_gdb_rips *r, int64_t deadline, struct vp_err *err);

/* Ask as much as may be under way; and all of the answers, and all that is to be asked yet. */
int vp_gdb_transfer_ask(struct vp_gdb_transfer *x, struct vp_err *err);
int vp_gdb_transfer_rest(struct vp_gdb_transfer *x, struct vp_err *err);

#endif /* VP_TARGET_GDB_INTERNAL_H */
