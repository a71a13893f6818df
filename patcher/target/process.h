/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of this host, and since when it lives: numbers are used again. Who is at the other end
 * of a unix socket is what the kernel says of each message (SO_PASSCRED, unix(7)): SO_PEERCRED
 * names who began to listen, which may be a launcher that passed the socket on.
 */
#ifndef VP_TARGET_PROCESS_H
#define VP_TARGET_PROCESS_H

#include <vmpoke/types.h>

#include <sys/socket.h>

#define VP_PROCESS_TEXT 64

struct vp_process {
	int pid;		    /* 0: unknown */
	uint64_t start;		    /* clock ticks since the host's boot (proc(5), field 22) */
	char text[VP_PROCESS_TEXT]; /* PID-START-BOOT-NAMESPACE; "" if unknown; a file name's part
				     */
};

/* False: it is not there, or cannot be seen from here (another pid namespace, hidepid). */
bool vp_process_find(int pid, struct vp_process *out);

/* What it is, for people: "process 7 of root: vmpoke poke g1 ...". False: it cannot be seen. */
bool vp_process_describe(int pid, char *text, size_t size);

/* The name of a user, printable; false, and the number, if it has none. */
bool vp_process_user(uid_t uid, char *text, size_t size);

/* Is the process of that text gone for certain? Not: "" and what is seen from elsewhere only. */
bool vp_process_gone(const char *text);

/*
 * Since when the process of that text has been running, in seconds since 1970, right to two
 * seconds; 0: unknown.
 */
int64_t vp_process_since(const char *text);

/*
 * Is it the process of that text that listens at the unix socket @path? To connect would tell, too,
 * but that a gdbstub takes for more than a question. False: no, or it cannot be seen from here.
 */
bool vp_process_listens(const char *text, const char *path);

/* Have the kernel name the sender of each message that arrives at @sock from now on. */
int vp_process_ask(int sock);

#define VP_PROCESS_CONTROL CMSG_SPACE(sizeof(struct ucred))

/* The sender of a message that was received with room for VP_PROCESS_CONTROL; 0: not told. */
int vp_process_sender(struct msghdr *msg);

/* Who listens where @sock is connected to; 0: unknown. */
int vp_process_listener(int sock);

#endif /* VP_TARGET_PROCESS_H */
