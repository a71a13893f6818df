/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hotfix of tests/hotfixes changes, asked by a program of the guest.
 */
#ifndef SHOWS_H
#define SHOWS_H

#include <stdbool.h>
#include <stddef.h>

enum shown {
	BROKEN = 0, /* as before the hotfix */
	FIXED = 1,  /* as the hotfix makes it */
	WRONG = 2,  /* as neither does: said by wrong() */
};

/* It was asked before since the hotfix was applied: what it counts did not begin just now. */
extern bool again;

/* One line on stdout of what is neither. */
enum shown wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The whole of a short file, with a NUL behind it: its size, or -1, told by wrong(). */
int read_file(const char *path, char *text, size_t size);

/* In a child, so that what it changes of itself ends with it. */
enum shown in_child(enum shown (*show)(void));

/* All processes after this one's on one CPU. */
bool pin(int cpu);

enum shown show_fanotify(void);
enum shown show_forwarding(void);
enum shown show_auxv(void);
enum shown show_sender(void);
enum shown show_timens(void);
enum shown show_key_expiry(void);
/* Whose text of /proc/loadavg is this? */
enum shown loadavg_is(const char *text);
/* shows watch: it never ends. */
int watch_loadavg(void);

/* As /sbin/request-key, called by the kernel. */
int serve_key_request(int argc, char **argv);

#endif /* SHOWS_H */
