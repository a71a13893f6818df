/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP framing, shared by the client and the server: bytes in, JSON objects out, and back.
 * The peer is hostile: what it can make us keep is bounded.
 */
#ifndef VP_TARGET_QMP_WIRE_H
#define VP_TARGET_QMP_WIRE_H

#include <vmpoke/types.h>
#include <jansson.h>
#include <sys/types.h>

#define VP_QMP_MESSAGE_NEW ((size_t)64 << 10) /* a request before the negotiation */
#define VP_QMP_MESSAGE_MAX ((size_t)16 << 20) /* a request after it */
#define VP_QMP_REPLY_MAX   ((size_t)64 << 20) /* a reply, as the client takes it */
#define VP_QMP_OUTPUT_MAX  ((size_t)1 << 20)  /* unread output of one client, its reply aside */
#define VP_QMP_DEPTH_MAX   64		      /* nested objects and arrays */

/* Bytes received and not yet taken as messages. All zero but @limit is a fresh one. */
struct vp_qmp_in {
	size_t limit; /* the longest message accepted */
	char *buf;
	size_t cap, head, tail; /* unread bytes are buf[head .. tail) */
	size_t scan;		/* next byte to look at; head <= scan <= tail */
	unsigned int depth;
	bool in_string, escaped;
	int sender; /* the process that sent what came last, if the socket was told to say so */
};

/*
 * Receive what is there, once. > 0: bytes; 0: the peer has closed; -EAGAIN, -ENOMEM, -errno.
 * @fd, if not NULL, gets a passed descriptor (and what it held before is closed).
 */
ssize_t vp_qmp_in_recv(struct vp_qmp_in *in, int sock, int *fd);

/*
 * Take the next message. 1: @out is an object, owned by the caller; 0: none is complete;
 *  -EINVAL    bad JSON between matching braces: the next message can be taken
 *  -EPROTO    no framing to go on with: close
 *  -EMSGSIZE  too long: close
 */
int vp_qmp_in_next(struct vp_qmp_in *in, json_t **out, struct vp_err *err);
void vp_qmp_in_free(struct vp_qmp_in *in);

/* Bytes to send, and at most one descriptor that goes with one of them. */
struct vp_qmp_out {
	char *buf;
	size_t cap, head, tail;
	size_t fd_at;
	int fd; /* -1: none; owned */
};

#define VP_QMP_OUT_INIT  \
	{                \
		.fd = -1 \
	}

/*
 * Queue one message and, with its first byte, a duplicate of @fd (-1: none).
 * -ENOBUFS: more than @limit bytes would wait; -EBUSY: a descriptor waits already; -ENOMEM,
 * -EMFILE.
 */
int vp_qmp_out_add(struct vp_qmp_out *out, const char *text, size_t len, size_t limit, int fd);

/* Send what the socket takes now. 0, or -errno: the connection is dead. */
int vp_qmp_out_flush(struct vp_qmp_out *out, int sock);
bool vp_qmp_out_empty(const struct vp_qmp_out *out);
void vp_qmp_out_free(struct vp_qmp_out *out);

/* @json (stolen) as the text of one message, its line end included. malloc()ed; NULL: no memory. */
char *vp_qmp_dump(json_t *json);

/* A JSON string of @text, made printable (base/text.h). */
json_t *vp_qmp_text(const char *text);

/* Make every string in @json printable; members whose name is not are dropped. -ENOMEM. */
int vp_qmp_clean(json_t *json);

/* The version, in the shape that QMP clients want: the member is called "qemu" there. */
json_t *vp_qmp_version(void);

/* A reason as the wire's error object, and back (a negative errno). */
json_t *vp_qmp_error(const char *error_class, int code, const char *desc);
int vp_qmp_error_code(const json_t *error, struct vp_err *err);

/* Is the peer at the other end of @sock of our user or root? -EPERM. */
int vp_qmp_check_peer(int sock, struct vp_err *err);

/* Fill a socket address (struct sockaddr_un). -EINVAL: @path is empty; -ENAMETOOLONG. */
struct sockaddr_un;
int vp_qmp_address(const char *path, struct sockaddr_un *addr, struct vp_err *err);

/* Does anybody listen there? He is asked nothing. 0: yes; else -errno, as socket() and connect().
 */
int vp_qmp_probe(const struct sockaddr_un *addr);

/*
 * Listen on @addr, mode 0600, and return the socket (it does not block). What stands there is
 * replaced if it is a socket that nobody listens on. Errors as vp_qmp_server_new().
 */
int vp_qmp_listen(const struct sockaddr_un *addr, struct vp_err *err);

#endif /* VP_TARGET_QMP_WIRE_H */
