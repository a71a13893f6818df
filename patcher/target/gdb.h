/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of QEMU's gdbstub: one connection, one thread at a time, each call bounded by a
 * timeout. docs/qemu.md says what QEMU does that GDB's manual does not.
 *
 * All but vp_gdb_stop() want the VM stopped. A failure other than -EINVAL leaves the connection
 * broken: every later call fails with -ENOTCONN.
 */
#ifndef VP_TARGET_GDB_H
#define VP_TARGET_GDB_H

#include <vmpoke/target.h>

struct vp_gdb;

/*
 * Connect to a unix socket. Returns the descriptor; QEMU stops the VM as soon as it sees us.
 * -ENOENT, -EACCES, -ECONNREFUSED as connect(); -EPERM: another user's.
 */
int vp_gdb_dial(const char *path, struct vp_err *err);

/*
 * What is wanted of a VM that was just stopped, in one round trip: commands of the human monitor,
 * each of which gets its text (malloc()ed), and pieces of guest-physical memory, which the caller
 * knows to be RAM. @done: all of it is there; else there are no texts.
 */
struct vp_gdb_question {
	const char *command;
	char *text;
};

struct vp_gdb_look {
	const struct vp_piece *pieces;
	size_t n;
	struct vp_gdb_question *questions;
	size_t nquestions;
	struct vp_gdb_rips *rips; /* NULL: they are not asked for */
	bool done;
};

/* The RIPs of all vCPUs, if there are @n of them, numbered from 0 on without a gap; else not
 * @known. */
#define VP_GDB_RIPS 32u
struct vp_gdb_rips {
	size_t n;
	uint64_t at[VP_GDB_RIPS];
	bool known;
};

/*
 * Speak first on @sock (owned from now on, also on failure). The VM is stopped afterwards.
 * @was_running: whether it was this connection that stopped it (-1: this stub does not tell).
 * @look (may be NULL): with the first words, where it is known who listens; what fails of that
 * alone is no error, but not done. Its pieces are of 128 bytes at most.
 *  -ETIMEDOUT  no answer: another debugger is attached, or this is no gdbstub
 *  -EPROTO     this is no gdbstub of QEMU
 */
int vp_gdb_open(int sock, unsigned int timeout_ms, struct vp_gdb **out, int *was_running,
		struct vp_err *err);
int vp_gdb_open_looking(int sock, unsigned int timeout_ms, struct vp_gdb_look *look,
			struct vp_gdb **out, int *was_running, struct vp_err *err);

/* Of this QEMU (702 for 7.2; 0: unknown): does it announce the stop that connecting has caused? */
static inline bool vp_gdb_announces(unsigned int version)
{
	return version && version < 801;
}

/*
 * Be done with a stub that is not the one that was meant: let the VM go on only if it was our
 * connecting that stopped it, as far as that can be told: a stop was @announced, or the stub says
 * that it is a QEMU which announces none. 0: it is as it was. The connection is good for
 * vp_gdb_close() only afterwards.
 */
int vp_gdb_undo(struct vp_gdb *g, bool announced, struct vp_err *err);

/* The process that answered last; 0: it cannot be seen from here. */
int vp_gdb_peer(const struct vp_gdb *g);

/* Close. The VM stays as it is: stopped if it was. NULL is fine. */
void vp_gdb_close(struct vp_gdb *g);

/*
 * Guest-physical memory; the caller knows that it is RAM. write() reads back what it wrote. Pieces
 * cost as many round trips as one piece does.
 */
int vp_gdb_read_pieces(struct vp_gdb *g, const struct vp_piece *pieces, size_t n,
		       struct vp_err *err);
int vp_gdb_write_pieces(struct vp_gdb *g, const struct vp_piece *pieces, size_t n,
			struct vp_err *err);
/* The same, and then the question; addresses mean what they meant before the VM was stopped. */
int vp_gdb_write_and_ask(struct vp_gdb *g, const struct vp_piece *pieces, size_t n,
			 const char *command, char **text, struct vp_err *err);
int vp_gdb_look(struct vp_gdb *g, struct vp_gdb_look *look, struct vp_err *err);
int vp_gdb_read(struct vp_gdb *g, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);
int vp_gdb_write(struct vp_gdb *g, vp_gpa gpa, const void *buf, size_t len, struct vp_err *err);

/* Run a command of QEMU's human monitor; @text (malloc()ed) is what it printed. */
int vp_gdb_hmp(struct vp_gdb *g, const char *command, char **text, struct vp_err *err);

/* -EOPNOTSUPP unless the stub's target description is that of an x86-64 machine. */
int vp_gdb_check_arch(struct vp_gdb *g, struct vp_err *err);

/*
 * Has somebody let the VM go on since it was stopped last? The call that notices it fails with
 * -EAGAIN; it is stopped again then, and the connection is good. Clears the answer.
 */
bool vp_gdb_ran(struct vp_gdb *g);

/* Let the VM go on, with the stub's mode as it was found. */
int vp_gdb_cont(struct vp_gdb *g, struct vp_err *err);

/*
 * Has it gone on by that, and nothing been told since? QEMU acknowledges the packet, unless it was
 * lost because somebody was quicker: then it stands. False as well: it has not come to it yet.
 */
bool vp_gdb_went_on(struct vp_gdb *g);

/*
 * The same where another way is to let it go on. restore(): the stub's mode, before. told(): wait
 * for up to @ms until the stub tells of a stop; -ETIMEDOUT: it has not, but only one that
 * announces stops (vp_gdb_announces()) tells of each. interrupt(): have the VM stop, if it runs;
 * whether that is told, too, depends. The connection is good, unless another error is returned.
 */
int vp_gdb_restore(struct vp_gdb *g, struct vp_err *err);
int vp_gdb_told(struct vp_gdb *g, unsigned int ms, struct vp_err *err);
int vp_gdb_interrupt(struct vp_gdb *g, struct vp_err *err);

/*
 * Stop it. -EBUSY: somebody else has stopped it meanwhile, and it stands; the connection is good.
 * That it was not let go on since, and stopped by this call, is known only of a QEMU that tells of
 * each stop (vp_gdb_announces()).
 */
int vp_gdb_stop(struct vp_gdb *g, struct vp_err *err);

/*
 * Let it go on until it stops: at a breakpoint, or by somebody's hand; which is not told.
 * -ETIMEDOUT: that took longer than @ms, so it was stopped; the connection is good, unless it was
 * that stop which was not answered. -EAGAIN: somebody has let it go on before, see vp_gdb_ran().
 */
int vp_gdb_run(struct vp_gdb *g, unsigned int ms, struct vp_err *err);

/*
 * Breakpoints on execution at a guest-virtual address, of the kind that writes nothing into the
 * guest's memory: all of @clear go, then all of @set come, which costs as much as one. Clearing one
 * that is not set is no error; none may be in both, or set already. -EOPNOTSUPP: QEMU refuses one
 * of @set; all others are done. After any other error each may have been done, or not.
 */
int vp_gdb_change_breaks(struct vp_gdb *g, const vp_gva *clear, size_t nclear, const vp_gva *set,
			 size_t nset, struct vp_err *err);

/* General registers, RIP and RFLAGS of vCPU @vcpu. -EAGAIN: not done, see vp_gdb_ran(). */
int vp_gdb_set_regs(struct vp_gdb *g, int vcpu, const struct vp_regs *regs, struct vp_err *err);

/*
 * Be done: leave the gdbstub as it was found; let the VM go on, or not. The connection is good for
 * vp_gdb_close() only afterwards.
 */
int vp_gdb_detach(struct vp_gdb *g, bool go_on, struct vp_err *err);

#endif /* VP_TARGET_GDB_H */
