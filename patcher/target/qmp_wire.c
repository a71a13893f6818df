/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP is a stream of JSON objects with nothing, or white space, between them. A light scanner
 * finds where an object ends (braces outside strings), so that each byte is looked at once
 * however slowly it arrives; jansson then judges the object as a whole.
 */
#include "target/qmp_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmpoke/version.h>

#include "base/text.h"
#include "target/process.h"

#define CHUNK ((size_t)64 << 10)

/* Make room for @more bytes after the tail: move what is there to the front, then grow. */
static int buffer_reserve(char **buf, size_t *cap, size_t *head, size_t *tail, size_t more)
{
	size_t used = *tail - *head;
	size_t want = *cap ? *cap : CHUNK;
	char *p;

	if (*cap - *tail >= more)
		return 0;
	if (used)
		memmove(*buf, *buf + *head, used);
	*head = 0;
	*tail = used;
	while (want - used < more)
		want *= 2;
	if (want == *cap)
		return 0;
	p = realloc(*buf, want);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*cap = want;
	return 0;
}

/* Nothing is held: start at the front again, and give a large block back. */
static void buffer_rewind(char **buf, size_t *cap, size_t *head, size_t *tail)
{
	*head = *tail = 0;
	if (*cap > CHUNK) {
		free(*buf);
		*buf = NULL;
		*cap = 0;
	}
}

/* Keep the last descriptor that came with @msg; close any other. */
static void take_fd(struct msghdr *msg, int *fd)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n, i;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			if (*fd >= 0)
				close(*fd);
			memcpy(fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		}
	}
}

ssize_t vp_qmp_in_recv(struct vp_qmp_in *in, int sock, int *fd)
{
	union {
		char buf[CMSG_SPACE(4 * sizeof(int)) + VP_PROCESS_CONTROL];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { 0 };
	struct iovec iov;
	size_t scanned = in->scan - in->head;
	int passed = -1, ret;
	ssize_t n;

	ret = buffer_reserve(&in->buf, &in->cap, &in->head, &in->tail, CHUNK);
	if (ret)
		return ret;
	in->scan = in->head + scanned;
	iov.iov_base = in->buf + in->tail;
	iov.iov_len = CHUNK;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	do
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fd(&msg, fd ? fd : &passed);
	if (passed >= 0)
		close(passed);
	if (n)
		in->sender = vp_process_sender(&msg);
	in->tail += (size_t)n;
	return n;
}

/* Look at one byte. 1: it ends an object; 0: go on; -EPROTO. */
static int scan_byte(struct vp_qmp_in *in, char c, struct vp_err *err)
{
	if (in->in_string) {
		if (in->escaped)
			in->escaped = false;
		else if (c == '\\')
			in->escaped = true;
		else if (c == '"')
			in->in_string = false;
		return 0;
	}
	switch (c) {
	case '"':
		in->in_string = true;
		break;
	case '{':
	case '[':
		if (in->depth == VP_QMP_DEPTH_MAX)
			return vp_err_set(err, -EPROTO, "JSON nests deeper than %d levels",
					  VP_QMP_DEPTH_MAX);
		in->depth++;
		break;
	case '}':
	case ']':
		return --in->depth == 0;
	}
	return 0;
}

static int parse_message(const char *text, size_t len, json_t **out, struct vp_err *err)
{
	json_error_t why;

	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!*out)
		return vp_err_set(err, -EINVAL, "JSON parse error: %.160s", why.text);
	return 1;
}

static int too_long(const struct vp_qmp_in *in, struct vp_err *err)
{
	return vp_err_set(err, -EMSGSIZE, "a message is longer than %zu bytes", in->limit);
}

int vp_qmp_in_next(struct vp_qmp_in *in, json_t **out, struct vp_err *err)
{
	int ret;

	while (in->scan < in->tail) {
		char c = in->buf[in->scan];

		if (!in->depth && c != '{') {
			if (!c || !strchr(" \t\r\n", c))
				return vp_err_set(err, -EPROTO,
						  "expected a JSON object, got byte 0x%02x",
						  (unsigned int)(unsigned char)c);
			in->head = ++in->scan;
			continue;
		}
		ret = scan_byte(in, c, err);
		if (ret < 0)
			return ret;
		in->scan++;
		if (in->scan - in->head > in->limit)
			return too_long(in, err);
		if (ret) {
			ret = parse_message(in->buf + in->head, in->scan - in->head, out, err);
			in->head = in->scan;
			return ret;
		}
	}
	if (in->head == in->tail) {
		buffer_rewind(&in->buf, &in->cap, &in->head, &in->tail);
		in->scan = 0;
	}
	return 0;
}

void vp_qmp_in_free(struct vp_qmp_in *in)
{
	free(in->buf);
	*in = (struct vp_qmp_in){ .limit = in->limit };
}

int vp_qmp_out_add(struct vp_qmp_out *out, const char *text, size_t len, size_t limit, int fd)
{
	int ret;

	if (out->tail - out->head > limit || len > limit - (out->tail - out->head))
		return -ENOBUFS;
	if (fd >= 0 && out->fd >= 0)
		return -EBUSY;
	/* fd_at counts from the head, which the call below may move. */
	out->fd_at -= out->head;
	ret = buffer_reserve(&out->buf, &out->cap, &out->head, &out->tail, len);
	out->fd_at += out->head;
	if (ret)
		return ret;
	if (fd >= 0) {
		out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (out->fd < 0)
			return -errno;
		out->fd_at = out->tail;
	}
	memcpy(out->buf + out->tail, text, len);
	out->tail += len;
	return 0;
}

/* Send one run of bytes, the descriptor with the first of them if it is due there. */
static ssize_t send_run(struct vp_qmp_out *out, int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { out->buf + out->head, out->tail - out->head };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool with_fd = out->fd >= 0 && out->fd_at == out->head;
	ssize_t n;

	if (with_fd) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &out->fd, sizeof(int));
	} else if (out->fd >= 0) {
		iov.iov_len = out->fd_at - out->head;
	}
	n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0 && with_fd) {
		close(out->fd);
		out->fd = -1;
	}
	return n < 0 ? -errno : n;
}

int vp_qmp_out_flush(struct vp_qmp_out *out, int sock)
{
	while (out->head < out->tail) {
		ssize_t n = send_run(out, sock);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		out->head += (size_t)n;
	}
	buffer_rewind(&out->buf, &out->cap, &out->head, &out->tail);
	return 0;
}

bool vp_qmp_out_empty(const struct vp_qmp_out *out)
{
	return out->head == out->tail;
}

void vp_qmp_out_free(struct vp_qmp_out *out)
{
	if (out->fd >= 0)
		close(out->fd);
	free(out->buf);
	*out = (struct vp_qmp_out)VP_QMP_OUT_INIT;
}

char *vp_qmp_dump(json_t *json)
{
	size_t len;
	char *text;

	if (!json)
		return NULL;
	len = json_dumpb(json, NULL, 0, 0);
	text = len ? malloc(len + 3) : NULL;
	if (text && json_dumpb(json, text, len, 0) == len)
		strcpy(text + len, "\r\n");
	json_decref(json);
	return text;
}

json_t *vp_qmp_text(const char *text)
{
	char *copy = strdup(text);
	json_t *json;

	if (!copy)
		return NULL;
	vp_text_clean(copy);
	json = json_string(copy);
	free(copy);
	return json;
}

int vp_qmp_clean(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;
	void *tmp;
	int rc = 0;

	if (json_is_string(json)) {
		/* Its length stays, so what jansson keeps of it stays true. */
		json_t *clean = vp_qmp_text(json_string_value(json));

		rc = clean ? json_string_set(json, json_string_value(clean)) : -1;
		json_decref(clean);
	} else if (json_is_object(json)) {
		json_object_foreach_safe(json, tmp, key, value)
		{
			if (!vp_text_is_clean(key))
				json_object_del(json, key); /* no word of ours */
			else if (vp_qmp_clean(value))
				rc = -1;
		}
	} else {
		json_array_foreach(json, i, value)
		{
			if (vp_qmp_clean(value))
				rc = -1;
		}
	}
	return rc ? -ENOMEM : 0;
}

json_t *vp_qmp_version(void)
{
	return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", VP_VERSION_MAJOR, "minor",
			 VP_VERSION_MINOR, "micro", VP_VERSION_PATCH, "package",
			 "vmpoke " VP_VERSION);
}

json_t *vp_qmp_error(const char *error_class, int code, const char *desc)
{
	const char *name = code ? strerrorname_np(code < 0 ? -code : code) : NULL;

	return json_pack("{s:s, s:o, s:s}", "class", error_class, "desc", vp_qmp_text(desc),
			 "errno", name ? name : "EIO");
}

int vp_qmp_error_code(const json_t *error, struct vp_err *err)
{
	const char *desc = json_string_value(json_object_get(error, "desc"));
	const char *name = json_string_value(json_object_get(error, "errno"));
	const char *kind = json_string_value(json_object_get(error, "class"));
	int code = kind && !strcmp(kind, "CommandNotFound") ? ENOSYS : EIO;
	json_t *text;
	int i;

	for (i = 1; name && i < 256; i++) {
		const char *known = strerrorname_np(i);

		if (known && !strcmp(known, name))
			code = i;
	}
	/* One printable line, whatever the peer sent. */
	text = vp_qmp_text(desc ? desc : "the target refused and did not say why");
	vp_err_set(err, -code, "%s", text ? json_string_value(text) : "out of memory");
	json_decref(text);
	return -code;
}
