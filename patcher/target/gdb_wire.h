/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of the GDB remote serial protocol ("Overview" and "Packets" in GDB's manual, appendix
 * "GDB Remote Serial Protocol"): $payload#checksum, and bytes as hex digits. The peer is hostile:
 * what it can make us keep is bounded.
 */
#ifndef VP_TARGET_GDB_WIRE_H
#define VP_TARGET_GDB_WIRE_H

#include <vmpoke/types.h>
#include <sys/types.h>

/*
 * A stub says PacketSize=1000 (QEMU 7.2 and 10.0) or 20020 (11.1), in hex: characters of data, by
 * GDB's manual ("qSupported"); we count '$', '#' and the checksum in, to be sure. Until it has said
 * so a packet is one of VP_GDB_PACKET; more than the most is neither sent nor taken, whatever it
 * says.
 */
#define VP_GDB_PACKET	  ((size_t)0x1000)
#define VP_GDB_PACKET_MAX ((size_t)0x20020)

/* Bytes received and not yet taken as packets. All zero is a fresh one. */
struct vp_gdb_in {
	char buf[2 * VP_GDB_PACKET_MAX + 64];
	size_t head, tail;
	size_t packet; /* the longest that may come; 0: VP_GDB_PACKET */
	int sender;    /* the process that sent what came last, if the socket was told to say so */
};

/* Receive what is there, once. > 0: bytes; 0: the peer has closed; -EAGAIN, -errno. */
ssize_t vp_gdb_in_recv(struct vp_gdb_in *in, int sock);

/*
 * Take the next packet. 1: @payload (NUL-terminated, valid until the next vp_gdb_in_recv()) has
 * @len bytes; 0: none is complete; -EPROTO: no framing to go on with: close.
 */
int vp_gdb_in_next(struct vp_gdb_in *in, char **payload, size_t *len, struct vp_err *err);

/* Frame @len bytes of @payload. @out has room for @len + 5; returns the bytes it got. */
size_t vp_gdb_frame(const char *payload, size_t len, char *out);

/* Exactly @n bytes out of 2 * @n hex digits and no more. False: it is something else. */
bool vp_gdb_unhex(const char *digits, size_t len, uint8_t *out, size_t n);

#endif /* VP_TARGET_GDB_WIRE_H */
