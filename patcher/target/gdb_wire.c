/* SPDX-License-Identifier: Apache-2.0 */
#include "target/gdb_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "target/hex.h"
#include "target/process.h"

bool vp_gdb_unhex(const char *digits, size_t len, uint8_t *out, size_t n)
{
	if (len != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = vp_hex_digit(digits[2 * i]), low = vp_hex_digit(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static uint8_t checksum(const char *payload, size_t len)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (unsigned char)payload[i];
	return (uint8_t)sum;
}

size_t vp_gdb_frame(const char *payload, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum = checksum(payload, len);

	out[0] = '$';
	memcpy(out + 1, payload, len);
	out[len + 1] = '#';
	out[len + 2] = digits[sum >> 4];
	out[len + 3] = digits[sum & 15];
	return len + 4;
}

ssize_t vp_gdb_in_recv(struct vp_gdb_in *in, int sock)
{
	union {
		char buf[VP_PROCESS_CONTROL];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { 0 };
	struct iovec iov;
	ssize_t n;

	if (in->head) {
		memmove(in->buf, in->buf + in->head, in->tail - in->head);
		in->tail -= in->head;
		in->head = 0;
	}
	if (in->tail == sizeof(in->buf))
		return -EMSGSIZE;
	iov = (struct iovec){ in->buf + in->tail, sizeof(in->buf) - in->tail };
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	do
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n)
		in->sender = vp_process_sender(&msg);
	in->tail += (size_t)n;
	return n;
}

/*
 * Between packets there is nothing but acknowledgements. '-' asks for a packet again: on a socket,
 * which loses nothing, it means that the peer did not understand us.
 */
static int skip_acks(struct vp_gdb_in *in, struct vp_err *err)
{
	while (in->head < in->tail && in->buf[in->head] == '+')
		in->head++;
	if (in->head == in->tail || in->buf[in->head] == '$')
		return 0;
	return vp_err_set(err, -EPROTO, "this is no gdbstub: byte 0x%02x where a packet begins",
			  (unsigned int)(unsigned char)in->buf[in->head]);
}

int vp_gdb_in_next(struct vp_gdb_in *in, char **payload, size_t *len, struct vp_err *err)
{
	size_t left, most = 2 * (in->packet ? in->packet : VP_GDB_PACKET);
	char *start, *end;
	uint8_t sum;
	int rc = skip_acks(in, err);

	if (rc || in->head == in->tail)
		return rc;
	start = in->buf + in->head + 1;
	left = in->tail - in->head - 1;
	end = memchr(start, '#', left);
	if (!end || (size_t)(end - start) + 3 > left) {
		if (left < most)
			return 0;
		return vp_err_set(err, -EPROTO, "this is no gdbstub: a packet without an end");
	}
	*payload = start;
	*len = (size_t)(end - start);
	in->head += *len + 4;
	if (!vp_gdb_unhex(end + 1, 2, &sum, 1) || sum != checksum(start, *len))
		return vp_err_set(err, -EPROTO, "this is no gdbstub: a packet's checksum is wrong");
	*end = 0;
	return 1;
}
