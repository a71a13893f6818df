/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hotfixes tests/hotfixes/real-*.c and cve-*.c change.
 */
#include "shows.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- fanotify: FIONREAD ------------------------------------------------------------------ */

static enum shown count_events(int fd)
{
	char got[4096];
	int told = -1, file = open("/run/fanotify/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ssize_t n;

	if (file < 0 || close(file) || ioctl(fd, FIONREAD, &told))
		return wrong("FIONREAD: %s", strerror(errno));
	n = read(fd, got, sizeof(got));
	if (n <= (ssize_t)sizeof(struct fanotify_event_metadata))
		return wrong("an event of %zd bytes: %s", n, strerror(errno));
	if (told == (int)sizeof(struct fanotify_event_metadata))
		return BROKEN;
	return told == n ? FIXED : wrong("FIONREAD says %d, and there are %zd", told, n);
}

/* A file system of its own, so that nobody else's files make events. */
enum shown show_fanotify(void)
{
	enum shown shown;
	int fd;

	if ((mkdir("/run/fanotify", 0700) && errno != EEXIST) ||
	    mount("fanotify", "/run/fanotify", "tmpfs", 0, NULL))
		return wrong("/run/fanotify: %s", strerror(errno));
	fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DIR_FID | FAN_NONBLOCK | FAN_CLOEXEC,
			   O_RDONLY);
	shown = fd < 0 || fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
					FAN_CREATE | FAN_ONDIR, AT_FDCWD, "/run/fanotify")
			? wrong("fanotify: %s", strerror(errno))
			: count_events(fd);
	if (fd >= 0)
		close(fd);
	if (umount("/run/fanotify"))
		return wrong("umount: %s", strerror(errno));
	return shown;
}

/* --- ipv6: the sysctl `forwarding` ------------------------------------------------------- */

static ssize_t write_file(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	const int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return n;
}

enum shown show_forwarding(void)
{
	static const char path[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	const ssize_t zero = write_file(path, "0\n"), none = write_file(path, "x\n");
	const int error = errno;
	char text[16];

	if (read_file(path, text, sizeof(text)) < 0)
		return WRONG;
	if (strcmp(text, "0\n") != 0)
		return wrong("forwarding is %s", text);
	if (zero == 1 && none == 1)
		return BROKEN;
	if (zero == 2 && none == -1 && error == EINVAL)
		return FIXED;
	return wrong("0 is %zd bytes written, x %zd: %s", zero, none, strerror(error));
}

/* --- prctl: the auxiliary vector --------------------------------------------------------- */

static enum shown set_auxv(void)
{
	unsigned long entry[2] = { AT_PAGESZ, 4096 };
	char text[4096];
	int len;

	if (prctl(PR_SET_MM, PR_SET_MM_AUXV, entry, sizeof(entry), 0))
		return wrong("prctl: %s", strerror(errno));
	len = read_file("/proc/self/auxv", text, sizeof(text));
	if (len < 32 || memcmp(text, entry, sizeof(entry)) != 0)
		return wrong("the vector has %d bytes", len);
	return len == 32 ? FIXED : BROKEN;
}

enum shown show_auxv(void)
{
	return in_child(set_auxv);
}

/* --- signals: who sent it ---------------------------------------------------------------- */

static int told_fd;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const int pid = info->si_pid;
	ssize_t n;

	(void)sig;
	(void)context;
	n = write(told_fd, &pid, sizeof(pid));
	(void)n;
}

/* One that tells who sent the signal: the end of a pipe where it does, or -1; and its process. */
static int receiver(pid_t *pid)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	int ends[2];
	char ready;

	if (pipe(ends))
		return -1;
	*pid = fork();
	if (*pid == 0) {
		told_fd = ends[1];
		sigaction(SIGUSR1, &action, NULL);
		ready = 1;
		if (write(ends[1], &ready, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ends[1]);
	if (*pid < 0 || read(ends[0], &ready, 1) != 1)
		return -1;
	return ends[0];
}

static enum shown ask_receivers(pid_t *pids)
{
	int here, there, of_here = -1, of_there = -1;

	if (setpgid(0, 0) || signal(SIGUSR1, SIG_IGN) == SIG_ERR)
		return wrong("setpgid: %s", strerror(errno));
	here = receiver(&pids[0]);
	if (unshare(CLONE_NEWPID))
		return wrong("unshare: %s", strerror(errno));
	there = receiver(&pids[1]);
	if (here < 0 || there < 0 || kill(0, SIGUSR1) ||
	    read(here, &of_here, sizeof(of_here)) != sizeof(of_here) ||
	    read(there, &of_there, sizeof(of_there)) != sizeof(of_there))
		return wrong("signals: %s", strerror(errno));
	if (of_there != 0)
		return wrong("the other namespace sees the sender %d", of_there);
	if (of_here == 0)
		return BROKEN;
	return of_here == getpid() ? FIXED : wrong("the sender is %d", of_here);
}

static enum shown signal_group(void)
{
	pid_t pids[2] = { 0, 0 };
	const enum shown shown = ask_receivers(pids);

	for (int i = 0; i < 2; i++)
		if (pids[i] > 0 && (kill(pids[i], SIGKILL) || waitpid(pids[i], NULL, 0) < 0))
			return wrong("kill: %s", strerror(errno));
	return shown;
}

enum shown show_sender(void)
{
	return in_child(signal_group);
}

/* --- time namespaces: the offset --------------------------------------------------------- */

static enum shown set_offset(void)
{
	static const char path[] = "/proc/self/timens_offsets";
	ssize_t plain, negative;

	if (unshare(CLONE_NEWTIME))
		return wrong("unshare: %s", strerror(errno));
	plain = write_file(path, "monotonic 1 5");
	if (plain < 0)
		return wrong("an offset is refused: %s", strerror(errno));
	negative = write_file(path, "monotonic 1 18446744073709551615");
	if (negative >= 0)
		return BROKEN;
	return errno == EINVAL ? FIXED : wrong("a negative offset: %s", strerror(errno));
}

enum shown show_timens(void)
{
	return in_child(set_offset);
}

/* --- keys: the time a key expires --------------------------------------------------------- */

#define KEY_SECONDS 500

/* request-key create KEY UID GID RING RING RING: it sets a time, then gives the key its content. */
int serve_key_request(int argc, char **argv)
{
	long key;

	if (argc < 3 || strcmp(argv[1], "create") != 0)
		return 1;
	key = strtol(argv[2], NULL, 10);
	return syscall(SYS_keyctl, KEYCTL_ASSUME_AUTHORITY, key) < 0 ||
	       syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, KEY_SECONDS) < 0 ||
	       syscall(SYS_keyctl, KEYCTL_INSTANTIATE, key, "x", 1, 0) < 0;
}

/* "SERIAL FLAGS USAGE TIMEOUT ..." of /proc/keys. */
static enum shown key_timeout(unsigned int key)
{
	FILE *keys = fopen("/proc/keys", "re");
	char line[512], timeout[32];
	enum shown shown = WRONG;
	unsigned int serial;
	bool seen = false;

	while (keys && fgets(line, sizeof(line), keys)) {
		if (sscanf(line, "%x %*s %*s %31s", &serial, timeout) != 2 || serial != key)
			continue;
		seen = true;
		if (!strcmp(timeout, "perm"))
			shown = BROKEN;
		else
			shown = strchr("0123456789", timeout[0]) ? FIXED : wrong("key: %s", line);
	}
	if (keys)
		fclose(keys);
	return seen ? shown : wrong("the key is not listed");
}

enum shown show_key_expiry(void)
{
	enum shown shown;
	long key;

	mkdir("/sbin", 0755);
	if (symlink("/bin/shows", "/sbin/request-key") && errno != EEXIST)
		return wrong("/sbin/request-key: %s", strerror(errno));
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		return wrong("no session's keys: %s", strerror(errno));
	key = syscall(SYS_request_key, "user", "vmpoke", "callout", KEY_SPEC_SESSION_KEYRING);
	if (key < 0)
		return wrong("request_key: %s", strerror(errno));
	shown = key_timeout((unsigned int)key);
	syscall(SYS_keyctl, KEYCTL_REVOKE, key);
	return shown;
}
