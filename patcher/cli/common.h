/* SPDX-License-Identifier: Apache-2.0 */
/* What every command takes: --verbose, --quiet; and --connect, where a TARGET is taken. */
#ifndef VP_CLI_COMMON_H
#define VP_CLI_COMMON_H

#include <vmpoke/types.h>

struct vp_common {
	const char *connect; /* the URI of libvirt; NULL: its default */
	const char *keyring; /* --keyring, where it is taken; NULL: the environment's, if any */
	bool verbose, quiet;
};

/* As the command line has it, from vp_options_parse() on. */
extern struct vp_common vp_common;

/*
 * The options are known: listen to what the work says (base/tell.h). With --verbose each question
 * is a line on stderr, with the time that its answer took; on a terminal how far long work is.
 */
void vp_common_begin(void);

/* What is no error and not what was asked for, as one line on stderr; --quiet leaves it out. */
void vp_common_note(const char *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For people, behind what was done, on stdout; --quiet leaves it out. */
void vp_common_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * The target that was named, in full: with --connect, NAME and libvirt:NAME are
 * libvirt+URI:NAME, which stays allocated. An exit code, or -1 to go on.
 */
int vp_common_target(const char *cmd, char **target);

#endif /* VP_CLI_COMMON_H */
