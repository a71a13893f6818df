/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the qemu target share.
 *
 * A *window* is the time in which we hold every vCPU: signals are blocked, the marks are set, the
 * gdbstub is connected. Windows nest. With a gdbstub alone the connection outlives the windows, and
 * everything needs one; otherwise it is opened and closed with each window.
 */
#ifndef VP_TARGET_QEMU_INTERNAL_H
#define VP_TARGET_QEMU_INTERNAL_H

#include <pthread.h>
#include <signal.h>

#include <vmpoke/qemu.h>

#include "target/gdb.h"
#include "target/hmp.h"
#include "target/monitor_ask.h"
#include "target/vmlock.h"

#define VP_QEMU_CHARDEV "vmpoke-gdb" /* of the gdbstub that we open */

/* Of the guest's memory, and where in QEMU's process it is (qemu_direct.c). */
struct vp_qemu_block {
	uint64_t start, len, host;
};
#define VP_QEMU_BLOCKS 16

struct vp_qemu {
	struct vp_target target;
	pthread_mutex_t mutex; /* recursive; over all below; held from lock() to unlock() */
	bool locked;	       /* by lock(), which is not recursive */
	struct vp_qemu_config cfg;
	char *gdb_path, *name; /* cfg's, copied */
	char identity[64];
	char confidential[24]; /* what encrypts its memory; "": nothing */
	struct vp_monitor *mon;
	struct vp_vmlock *locks[2]; /* of the identity; with a gdbstub alone, of its socket, too */
	size_t nlocks;
	bool gdb_only;
	bool peeks; /* QEMU hands memory over while the guest runs */
	bool asked_peeks;

	struct vp_hmp_range ram[VP_HMP_RANGES];
	size_t nram;
	bool ram_is_new; /* asked for again in this window, or since lock(): not once more */

	int mem_fd; /* QEMU's memory, for reading; -1: it may not be read so */
	bool asked_direct;
	struct vp_qemu_block blocks[VP_QEMU_BLOCKS];
	size_t nblocks;

	/* The window. */
	unsigned int windows;
	struct vp_gdb *gdb;
	bool own_stub;	    /* opened by us: to be closed by us */
	bool found_running; /* the VM ran before */
	bool paused;	    /* by the monitor's pause() */
	bool went_on;	/* ... and let go on since: what stops it now is somebody's, or nobody's */
	bool of_lock;	/* this window is lock()'s, not stop()'s */
	bool resumed;	/* since lock(): the VM is to run a moment before it is stopped again */
	bool may_write; /* asked for in this window: vp_qemu_check_write() */
	bool stands;	/* QEMU has just said so: nothing was sent since */
	int64_t looked_ms; /* by looking at all at once: it may be written to and let go on; or 0 */
	/* What is to be read as soon as it stands, while that is under way; and that it was. */
	const struct vp_piece *ahead;
	size_t nahead;
	bool ahead_read;
	unsigned int resumes; /* the monitor's count when it began */
	/* With a gdbstub alone, which tells of no moments, on our clock: since when it is held. */
	int64_t held_us;
	struct vp_pauses pauses;
	unsigned int version; /* of QEMU, 702 for 7.2; 0: not known yet */
	char version_text[64];
	sigset_t signals; /* the thread's mask before */
	/* All vCPUs, once asked for: as they are in the window, or were since lock(). */
	struct vp_hmp_vcpu *vcpus;
	size_t nvcpus;
	struct vp_gdb_rips rips; /* in the window, if they were asked for */
	unsigned int there;	 /* how many QEMU said that there are, since lock(); 0: not asked */

	/*
	 * With a gdbstub alone: what was seen while it stood because we connected, so that it need
	 * not stand again for that; when; and that it runs by our last word.
	 */
	struct vp_qemu_info seen;
	struct vp_hmp_vcpu *seen_vcpus;
	size_t nseen_vcpus;
	int64_t seen_ms;
	bool runs;

	/* Breakpoints, and what a caller has us keep: qemu_break.c. */
	vp_gva wanted[VP_BREAKS_MAX]; /* before the VM runs QEMU has these */
	size_t nwanted;
	struct vp_qemu_break {
		vp_gva addr;
		bool sure; /* QEMU has it; else it may */
	} breaks[2 * VP_BREAKS_MAX];
	size_t nbreaks, nkept;
	bool noted; /* all that is wanted is in the marks */
	uint8_t kept[VP_KEPT_MAX];
	bool left_running; /* with a breakpoint set: no byte more to the stub */

	int interrupted; /* the process whose window this one takes over, or 0 */
	bool recovered;
	/* With a gdbstub alone: why the VM stands, which was not our doing; we have left it then.
	 */
	struct vp_err left;
	struct vp_err stuck; /* why the VM may have been left stopped; "" if it was not */
};

static inline struct vp_qemu *vp_qemu_of(struct vp_target *t)
{
	return (struct vp_qemu *)t; /* it is the first member */
}

/* Make one with everything but a monitor. */
int vp_qemu_new(const struct vp_qemu_config *cfg, const char *name, struct vp_qemu **out,
		struct vp_err *err);

/* Open over a monitor that carries QMP (stolen, also on failure). */
int vp_qemu_open_monitor(const struct vp_qemu_config *cfg, const char *name, struct vp_monitor *mon,
			 struct vp_qemu **out, struct vp_err *err);

/*
 * The locks between processes; nest. With a gdbstub alone, where everything stops the VM, also
 * vp_qemu_check_marks().
 */
int vp_qemu_take(struct vp_qemu *q, struct vp_err *err);
void vp_qemu_drop(struct vp_qemu *q);

/* With the locks. -EUCLEAN: a vmpoke was killed in a window, and nobody has put that right. */
int vp_qemu_check_marks(struct vp_qemu *q, struct vp_err *err);
/* Its text: @l has found the mark of process @pid. */
int vp_qemu_is_marked(const struct vp_qemu *q, const struct vp_vmlock *l, int pid,
		      struct vp_err *err);

/* With the locks, marks found: may we repair that? -EUCLEAN: another keeper's. */
int vp_qemu_check_keeper(const struct vp_qemu *q, struct vp_err *err);

/* With the locks. Stop the VM; let it go on. A failed enter leaves it as it was. */
int vp_qemu_window_enter(struct vp_qemu *q, struct vp_err *err);
void vp_qemu_window_leave(struct vp_qemu *q);

/* The VM is held by us from now on; or it is not any more. */
void vp_qemu_pause_begins(struct vp_qemu *q);
void vp_qemu_pause_ends(struct vp_qemu *q);

/* The pieces of a window, for whoever puts one together by hand. */
void vp_qemu_signals_block(struct vp_qemu *q);
int vp_qemu_mark(struct vp_qemu *q, struct vp_err *err);
void vp_qemu_unmark(struct vp_qemu *q);
void vp_qemu_window_end(struct vp_qemu *q, bool runs);

/* Connect to a gdbstub, which stops the VM; and end that, letting the VM go on if it is to. */
int vp_qemu_stub_open(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_stub_close(struct vp_qemu *q, bool go_on, struct vp_err *err);

/* In a window: vp_qemu_may_resume(), whoever let the VM go on meanwhile. */
int vp_qemu_ready(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err);

/* In a window: 0, or -EAGAIN if somebody let the VM go on since it began; it is stopped again. */
int vp_qemu_held(struct vp_qemu *q, struct vp_err *err);

/*
 * How the VM is (qemu_state.c); with a gdbstub alone in a window only.
 * vp_qemu_may_resume(): before every D;1, vCont and cont. 0: it was a mere stop that stopped it
 * (@state->paused), or it runs already (@state->running: then send the stub nothing, any byte would
 * stop it). -EBUSY: it is not ours to let go on, leave it as it is and pass the text on.
 * vp_qemu_look(): the same when the VM has been stopped, with what vp_qemu_check_write() asks, if
 * both can be asked at once. vp_qemu_just_looked(): that was a moment ago, and there was nothing.
 * vp_qemu_check_migration(): -EBUSY: one is under way, do not write, do not
 * stop it. vp_qemu_check_write(): in a window, before its first write: both may have changed since
 * the VM was stopped. Later ones are not asked about: what takes a half batch back must get
 * through. Any other error: QEMU does not tell, or tells what we do not know: take it for a no.
 */
int vp_qemu_runstate(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err);
int vp_qemu_may_resume(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err);
int vp_qemu_look(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err);
bool vp_qemu_just_looked(const struct vp_qemu *q);
int vp_qemu_check_migration(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_check_write(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_check_batch(struct vp_qemu *q, struct vp_err *err);

/* Have the marks tell of q->wanted, q->breaks and q->kept. */
int vp_qemu_breaks_note(struct vp_qemu *q, struct vp_err *err);

/*
 * In a window. put(): have QEMU set what is wanted, and nothing else; errors as
 * vp_gdb_change_breaks(). clear(): nothing at all. take_over(): learn what another process has
 * left, and clear that.
 */
int vp_qemu_breaks_put(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_breaks_clear(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_breaks_take_over(struct vp_qemu *q, struct vp_err *err);

/*
 * In a window, for a moment of it (qemu_run.c). let_run(): the VM runs; @again: and is to be held
 * again. run(): until it stops at a breakpoint, as vp_gdb_run(). -EBUSY: its owner has paused it,
 * and let it not go on in that time.
 */
int vp_qemu_let_run(struct vp_qemu *q, bool again, struct vp_err *err);
int vp_qemu_run(struct vp_qemu *q, unsigned int ms, struct vp_err *err);

/* With a gdbstub alone: connect, find out, let the VM go on. */
int vp_qemu_open_gdb(struct vp_qemu *q, struct vp_err *err);

/* A lock file with our keeper; one more of the VM; the identity; what vp_qemu_config.repair does
 * about q->interrupted. */
int vp_qemu_open_lock(const struct vp_qemu *q, const char *key, struct vp_vmlock **out,
		      struct vp_err *err);
int vp_qemu_add_lock(struct vp_qemu *q, const char *key, struct vp_err *err);
int vp_qemu_add_identity(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_find_identity(struct vp_qemu *q, struct vp_err *err);
int vp_qemu_repair(struct vp_qemu *q, struct vp_err *err);

/*
 * With a gdbstub alone, in the window in which it was connected to: see what is asked for next.
 * Is that yet as good as new?
 */
int vp_qemu_see(struct vp_qemu *q, struct vp_err *err);
bool vp_qemu_just_saw(const struct vp_qemu *q);

/* Ask the human monitor; with a gdbstub alone in a window only. */
int vp_qemu_look_at_vcpus(struct vp_qemu *q, struct vp_err *err);
void vp_qemu_forget(struct vp_qemu *q); /* the vCPUs; that the map of RAM is new */
int vp_qemu_map_ram(struct vp_qemu *q, struct vp_err *err);

/* Find out q->peeks. */
int vp_qemu_ask_peeks(struct vp_qemu *q, struct vp_err *err);

/*
 * What is to be known as soon as the VM stands (qemu_look.c). begin() makes the questions, of state
 * and migration, and with q->ahead of that and of the vCPUs; they are asked (@l->ask); take() has
 * the window go by the answers. False: they are not there, or not known: then ask otherwise.
 * now(): all of that. listen(): vp_monitor_ops.listen.
 */
#define VP_QEMU_AHEAD_MAX 128u /* bytes a piece */
struct vp_qemu_look {
	struct vp_gdb_look ask;
	struct vp_gdb_question questions[3];
	struct vp_gdb_rips rips;
};
void vp_qemu_look_begin(struct vp_qemu *q, struct vp_qemu_look *l);
void vp_qemu_look_end(struct vp_qemu_look *l);
bool vp_qemu_look_take(struct vp_qemu *q, struct vp_qemu_look *l, struct vp_runstate *state);
int vp_qemu_look_now(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err);
void vp_qemu_listen(struct vp_qemu *q);

/*
 * Read from QEMU's own memory (qemu_direct.c). direct_map(): find @ranges there, as far as that is
 * possible; where the monitor can be asked. direct_read(): false: not so.
 */
void vp_qemu_direct_map(struct vp_qemu *q, const struct vp_hmp_range *ranges, size_t n);
bool vp_qemu_direct_read(const struct vp_qemu *q, vp_gpa gpa, void *buf, size_t len);
void vp_qemu_direct_close(struct vp_qemu *q);

/* Is all of it RAM, as far as is known? */
bool vp_qemu_is_ram(const struct vp_qemu *q, vp_gpa gpa, size_t len);

/* The operations of that name (qemu_memory.c). */
int vp_qemu_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);
int vp_qemu_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len, struct vp_err *err);
int vp_qemu_read_pieces(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			struct vp_err *err);
int vp_qemu_write_pieces(struct vp_target *t, const struct vp_piece *pieces, size_t n,
			 struct vp_err *err);

/* -ENOKEY: the guest's memory is encrypted: it can neither be read nor be written. */
int vp_qemu_check_confidential(const struct vp_qemu *q, struct vp_err *err);

extern const struct vp_target_ops vp_qemu_ops;
extern const struct vp_break_ops vp_qemu_break_ops;

#endif /* VP_TARGET_QEMU_INTERNAL_H */
