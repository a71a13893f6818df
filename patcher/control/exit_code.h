/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit codes of the program, and which of them stands for which error. The one place for both;
 * docs/vmpoke.1, EXIT STATUS, says the same to people.
 */
#ifndef VP_CONTROL_EXIT_CODE_H
#define VP_CONTROL_EXIT_CODE_H

/* `run` ends with the guest's own code when the guest exits. */
enum vp_exit {
	VP_EXIT_OK = 0,
	VP_EXIT_FAILED = 1,	 /* it ran, and the result is bad: applied, but; a wrong call */
	VP_EXIT_USAGE = 2,	 /* the command line is wrong */
	VP_EXIT_REFUSED = 3,	 /* a check failed; not one byte was changed */
	VP_EXIT_UNREACHABLE = 4, /* no such target, not permitted, or it does not answer */
	VP_EXIT_ROLLED_BACK = 5, /* not done, or undone; the old bytes stand, no vCPU is held */
	VP_EXIT_HOST = 6,	 /* this host lacks something: KVM, permission, memory */
	VP_EXIT_FILE = 7,	 /* an input file is missing, damaged or of the wrong kind */
	VP_EXIT_GUEST = 8,	 /* the guest died: triple fault, or an exit we cannot handle */
	VP_EXIT_HALF = 9,	 /* half a batch may stand, the guest may be stopped: recover */
	VP_EXIT_ENCRYPTED = 10,	 /* a confidential guest: it cannot be patched, by design */
};

/* What no other error is: it is applied, but (the ledger, or a site, is not as it should be). */
#define VP_EAPPLIED EREMCHG

/* The exit code that stands for -errno of a control command (docs/control-protocol.md). */
int vp_exit_code(int err);

/* The same for opening a target: what did not answer, or is not there, cannot be reached. */
int vp_exit_code_of_open(int err);

#endif /* VP_CONTROL_EXIT_CODE_H */
