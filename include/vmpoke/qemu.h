/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `qemu` target: a stock QEMU (KVM or TCG), reached from outside through its QMP socket, its
 * gdbstub, or libvirt. docs/qemu.md.
 *
 * With QMP or libvirt the guest runs while it is looked at, and is stopped, through a gdbstub that
 * is opened for that and closed again, only to be written to. With a gdbstub alone it is stopped
 * for every read, too: for each by itself, or from lock() to unlock().
 *
 * The guest is patched with VP_STRATEGY_STOP; arm() fails. While it is stopped, all signals but
 * those of our own faults (SIGSEGV, SIGABRT, ...) are blocked in the thread that stopped it, and
 * delivered once it runs again. A program with more threads blocks them in the others. What cannot
 * be blocked (kill -9) leaves a mark in vp_qemu_config.state_dir: see vp_qemu_config.repair.
 *
 * Threads: the target's operations may be called by many threads; open and close by one.
 */
#ifndef VMPOKE_QEMU_H
#define VMPOKE_QEMU_H

#include <vmpoke/target.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vp_qemu;

struct vp_qemu_config {
	const char *gdb_path; /* unix socket of a gdbstub; NULL: one is opened through QMP */
	const char *qmp_path; /* unix socket of QMP; NULL: the gdbstub alone */
	/*
	 * A folder for locks between vmpoke processes, and marks of what kill -9 interrupted; made
	 * (mode 0700) if need be. The same for all vmpoke processes of a user, and not in the VM's
	 * reach. The text must live until vp_qemu_close(), as that of keeper.
	 */
	const char *state_dir;
	const char *name;	 /* how the user names the VM: for error texts. NULL: the path */
	unsigned int timeout_ms; /* for each answer of QEMU or libvirt; 0: VP_TIMEOUT_MS */
	/*
	 * NULL: a VM that a killed vmpoke had stopped is left as it is: it can be looked at where
	 * that needs no stop (vp_qemu_info.interrupted), all else is refused with -EUCLEAN. Not
	 * NULL: it is repaired: this is called, with the target's lock held and every vCPU stopped,
	 * to put half a batch right; if it returns 0 the VM goes on, else it stays as it was found
	 * (with a gdbstub of QEMU 8.1 and later alone: stopped; nothing tells how it was).
	 */
	int (*repair)(void *arg, struct vp_target *t, const char *identity, const char *process,
		      struct vp_err *err);
	void *repair_arg;
	/*
	 * Who keeps the record of what is written (vmpoke/poke.h), as one word: letters, digits,
	 * '-', at most VP_KEEPER_MAX. vmpoke's own commands are "vmpoke"; NULL: "program". What a
	 * process that was killed has left is repaired only by who says the same: another's record
	 * would not know of half a batch, and let the VM run with it.
	 */
	const char *keeper;
};

#define VP_KEEPER_MAX 31

enum vp_qemu_state {
	VP_QEMU_RUNNING,
	VP_QEMU_PAUSED, /* by its owner, or by an error of its devices */
	VP_QEMU_OFF,
};

struct vp_qemu_info {
	char name[128]; /* the VM's own name; "" if it has none */
	/*
	 * Its UUID; without one "qemu-PID-START"; where the process cannot be seen either,
	 * "qemu-qmp-DEVICE-INODE" or "qemu-gdb-..." of its socket. Stable while it runs.
	 */
	char identity[64];
	/*
	 * Its QEMU: process number, start (clock ticks since the host's boot), the host's boot, the
	 * pid namespace. Clones may have one UUID, never one of these. "": it cannot be known (a
	 * proxy stands between, or another pid namespace); such a VM is not written to.
	 */
	char process[64];
	enum vp_qemu_state state;
	char state_text[48]; /* "running", "paused (io-error)", ... */
	char accel[8];	     /* "kvm", "tcg" */
	char version[64];    /* of QEMU */
	unsigned int vcpus;
	char pinning[256]; /* "0:0-3 1:2": vCPU and host CPUs; "" if unknown */
	bool recovered;	   /* vp_qemu_config.repair was called, and well */
	/*
	 * A vmpoke was killed while it held the VM stopped, which may stand still since, with half
	 * a batch in it: one line that says so and what to do. "": none was.
	 */
	char interrupted[256];
	/*
	 * "SEV", "SEV-ES", "SEV-SNP", "TDX", ...: the guest's memory is encrypted. All that reads
	 * or writes it fails with -ENOKEY. "": it is not.
	 */
	char confidential[24];
};

/*
 * Open a VM. Nothing is written to it.
 *  -EBUSY       it is paused, and there is only the gdbstub
 *  -EUCLEAN     there is only the gdbstub, and a vmpoke was killed while it had the VM stopped, or
 *               this one could not let it go on: `vmpoke recover`. Or with cfg->repair: what is to
 *               be repaired is of another keeper
 *  -EINVAL      cfg->keeper is no such word
 *  -EOPNOTSUPP  not an x86-64 machine
 *  -EPROTO      what answers is no QEMU
 *  -ETIMEDOUT   no answer; or somebody else is attached to the socket
 *  -ECONNRESET, and as connect()
 */
int vp_qemu_open(const struct vp_qemu_config *cfg, struct vp_qemu **out, struct vp_err *err);

/*
 * Open a domain of libvirt. @uri NULL: libvirt's default. Paths in @cfg are not used.
 *  -ENOENT  no such domain;  -ENOTCONN: it is shut off
 * Whoever calls this, or vp_qemu_list(), links with -lvirt-qemu -lvirt.
 */
int vp_qemu_open_libvirt(const char *uri, const char *domain, const struct vp_qemu_config *cfg,
			 struct vp_qemu **out, struct vp_err *err);

/*
 * Let it go: as it was found, with no gdbstub of ours left open. NULL is fine. An error means that
 * it may have been left stopped, and says what to do.
 */
int vp_qemu_close(struct vp_qemu *q, struct vp_err *err);

/* The target for vp_engine_new(). Lives as long as @q. */
struct vp_target *vp_qemu_target(struct vp_qemu *q);

/* Ask QEMU how it is now. */
int vp_qemu_describe(struct vp_qemu *q, struct vp_qemu_info *info, struct vp_err *err);

/* The domains of libvirt that QEMU runs or could run. */
struct vp_qemu_domain {
	const char *name;
	char uuid[40];
	enum vp_qemu_state state;
	char state_text[48];
	unsigned int vcpus;
};

/* Call @fn for each until it returns non-zero; return that. @uri NULL: libvirt's default. */
int vp_qemu_list(const char *uri, unsigned int timeout_ms,
		 int (*fn)(void *arg, const struct vp_qemu_domain *domain), void *arg,
		 struct vp_err *err);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_QEMU_H */
