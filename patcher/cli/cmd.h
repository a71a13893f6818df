/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share: their table, exit codes, and how they report errors. */
#ifndef VP_CLI_CMD_H
#define VP_CLI_CMD_H

#include <stdio.h>

#include <vmpoke/types.h>

#include "control/exit_code.h"

/* One subcommand. argv[0] is its name. main.c holds the table; each cmd_*.c owns its options. */
struct vp_cmd {
	const char *name; /* NULL: the end of the table */
	const char *summary;
	int (*run)(int argc, char **argv);
	const struct vp_cmd *subs; /* in the place of @run: a table of its own */
};

/* Run the one of @table that argv[0] names. What is none is told, as @of, with what was meant. */
int vp_cmd_dispatch(const char *of, const struct vp_cmd *table, int argc, char **argv);

const struct vp_cmd *vp_cmd_find(const struct vp_cmd *table, const char *name);

/* A line for each. */
void vp_cmd_list_table(FILE *to, const struct vp_cmd *table);

int vp_cmd_run(int argc, char **argv);
int vp_cmd_demo(int argc, char **argv);
int vp_cmd_bench(int argc, char **argv);
int vp_cmd_doctor(int argc, char **argv);
int vp_cmd_info(int argc, char **argv);
int vp_cmd_read(int argc, char **argv);
int vp_cmd_poke(int argc, char **argv);
int vp_cmd_status(int argc, char **argv);
int vp_cmd_verify(int argc, char **argv);
int vp_cmd_revert(int argc, char **argv);
int vp_cmd_stop(int argc, char **argv);
int vp_cmd_cont(int argc, char **argv);
int vp_cmd_quit(int argc, char **argv);
int vp_cmd_vcpu(int argc, char **argv);
int vp_cmd_list(int argc, char **argv);
void vp_list_targets(const char *prefix); /* `list --names`, of those that begin so */
int vp_cmd_sym(int argc, char **argv);
int vp_cmd_regs(int argc, char **argv);
int vp_cmd_imm(int argc, char **argv);
int vp_cmd_key(int argc, char **argv);
int vp_cmd_recover(int argc, char **argv);

/* "vmpoke poke: text", or "vmpoke: text" if @cmd is "", as one line on stderr; returns @exit_code.
 */
int vp_cmd_fail(const char *cmd, int exit_code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A whole number within [min, max], decimal without zeros before it, or 0x; -EINVAL. */
int vp_cmd_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* Read a whole file into malloc()ed memory (at most @max bytes). -errno, text filled. */
int vp_cmd_read_file(const char *path, size_t max, void **data, size_t *len, struct vp_err *err);

/*
 * $VMPOKE_TIMEOUT: how many milliseconds QEMU or libvirt may take for an answer, VP_CMD_TIMEOUT_MAX
 * at most; 0: not set. -EINVAL.
 */
#define VP_CMD_TIMEOUT_MAX 600000u
int vp_cmd_timeout(unsigned int *ms, struct vp_err *err);

/*
 * The user's own keyring, beside the system's, which nothing turns off: --keyring DIR, or
 * $VMPOKE_KEYRING. NULL: none. @option: what was given; NULL: nothing.
 */
const char *vp_cmd_keyring(const char *option);

#endif /* VP_CLI_CMD_H */
