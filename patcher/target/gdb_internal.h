/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the gdbstub client share: one exchange of packets. */
#ifndef VP_TARGET_GDB_INTERNAL_H
#define VP_TARGET_GDB_INTERNAL_H

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
};

/* A question whose answer cannot be taken for another. */
#define VP_GDB_PROBE	    "qSupported:multiprocess+"
#define VP_GDB_PROBE_ANSWER "PacketSize="

/* Begin an exchange: its deadline, and whether the connection still works. */
int vp_gdb_begin(struct vp_gdb *g, int64_t *deadline, struct vp_err *err);

/* Send a packet. -EINVAL: the stub takes none that long. */
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

#endif /* VP_TARGET_GDB_INTERNAL_H */
