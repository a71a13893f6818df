/* SPDX-License-Identifier: Apache-2.0 */
#include "target/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* How many bytes of it there are, up to @size - 1; a NUL comes behind them. */
static size_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

/*
 * When it started; 0: it cannot be seen. The name of the program, field 2, may hold anything:
 * fields are counted from its end. @ended: it is a zombie, nothing but its exit code is left.
 */
static uint64_t start_time(int pid, bool *ended)
{
	char path[32], text[1024], *at;
	unsigned long long start = 0;

	*ended = false;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_text(path, text, sizeof(text)))
		return 0;
	at = strrchr(text, ')');
	*ended = at && (!strncmp(at, ") Z", 3) || !strncmp(at, ") X", 3));
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, "%llu", &start) == 1 ? start : 0;
}

/* Which life of this host, and in whose numbers: "BOOT-NAMESPACE". */
static bool place(char *text, size_t size)
{
	char boot[64];
	struct stat ns;

	if (!read_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) ||
	    stat("/proc/self/ns/pid", &ns))
		return false;
	boot[strcspn(boot, "-\n")] = 0;
	snprintf(text, size, "%.8s-%llx", boot, (unsigned long long)ns.st_ino);
	return true;
}

bool vp_process_find(int pid, struct vp_process *out)
{
	char where[32];
	bool ended = true;

	*out = (struct vp_process){ .pid = pid };
	out->start = pid > 0 ? start_time(pid, &ended) : 0;
	if (out->start && !ended && place(where, sizeof(where)))
		snprintf(out->text, sizeof(out->text), "%d-%llu-%s", pid,
			 (unsigned long long)out->start, where);
	else
		*out = (struct vp_process){ 0 };
	return out->pid > 0;
}

bool vp_process_user(uid_t uid, char *text, size_t size)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (!getpwuid_r(uid, &pw, buf, sizeof(buf), &found) && found)
		vp_text_copy(text, size, found->pw_name);
	else
		snprintf(text, size, "%u", (unsigned int)uid);
	return found;
}

bool vp_process_describe(int pid, char *text, size_t size)
{
	char path[32], words[512], user[64];
	struct stat st;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (stat(path, &st))
		return false;
	n = read_text(path, words, sizeof(words));
	for (size_t i = 0; i + 1 < n; i++)
		if (!words[i])
			words[i] = ' ';
	vp_process_user(st.st_uid, user, sizeof(user));
	snprintf(text, size, "process %d of %s: %s", pid, user, words);
	vp_text_clean(text);
	return true;
}

bool vp_process_gone(const char *text)
{
	char boot[9], our_boot[32], *our_ns;
	unsigned long long start, ns;
	uint64_t now;
	bool ended;
	int pid;

	if (sscanf(text, "%d-%llu-%8[0-9a-f]-%llx", &pid, &start, boot, &ns) != 4 || pid <= 0 ||
	    !place(our_boot, sizeof(our_boot)))
		return false;
	our_ns = strchr(our_boot, '-');
	*our_ns++ = 0;
	if (strcmp(boot, our_boot))
		return true;
	if (strtoull(our_ns, NULL, 16) != ns)
		return false;
	if (kill(pid, 0) && errno == ESRCH)
		return true;
	now = start_time(pid, &ended);
	return ended || (now && now != start);
}

/* When this host was booted, in seconds since 1970; 0: unknown. */
static int64_t host_boot(void)
{
	static const char key[] = "btime ";
	char line[256];
	long long when = 0;
	FILE *f = fopen("/proc/stat", "re");

	while (f && !when && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			sscanf(line + strlen(key), "%lld", &when);
	if (f)
		fclose(f);
	return when;
}

int64_t vp_process_since(const char *text)
{
	char boot[9], ours[32];
	unsigned long long start, ns;
	long hz = sysconf(_SC_CLK_TCK);
	int64_t when = host_boot();
	int pid;

	if (sscanf(text, "%d-%llu-%8[0-9a-f]-%llx", &pid, &start, boot, &ns) != 4 ||
	    !place(ours, sizeof(ours)) || strncmp(boot, ours, strlen(boot)) || !when || hz <= 0)
		return 0;
	return when + (int64_t)start / hz;
}

static bool has_socket(int pid, unsigned long inode)
{
	char folder[32], want[48], is[48];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	d = opendir(folder);
	while (d && !found && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, is, sizeof(is) - 1);

		is[n > 0 ? n : 0] = 0;
		found = !strcmp(is, want);
	}
	if (d)
		closedir(d);
	return found;
}

/* A file by the name that a process has given it, in its own root or folder. */
static bool is_file(int pid, const char *name, const struct stat *file)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/%s%s", pid, *name == '/' ? "root" : "cwd/", name);
	return !stat(path, &st) && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

#define ACCEPTS 0x10000u /* __SO_ACCEPTCON in the flags of proc(5), "/proc/net/unix" */

bool vp_process_listens(const char *text, const char *path)
{
	char table[32], line[256];
	struct vp_process now;
	struct stat file;
	bool found = false;
	FILE *f;
	int pid;

	if (sscanf(text, "%d-", &pid) != 1 || !vp_process_find(pid, &now) ||
	    strcmp(now.text, text) || stat(path, &file))
		return false;
	snprintf(table, sizeof(table), "/proc/%d/net/unix", pid);
	f = fopen(table, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		unsigned int flags;
		unsigned long inode;
		int name = 0;

		line[strcspn(line, "\n")] = 0;
		found = sscanf(line, "%*s %*s %*s %x %*s %*s %lu %n", &flags, &inode, &name) == 2 &&
			name && flags & ACCEPTS && has_socket(pid, inode) &&
			is_file(pid, line + name, &file);
	}
	if (f)
		fclose(f);
	return found;
}

int vp_process_ask(int sock)
{
	const int on = 1;

	return setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ? -errno : 0;
}

int vp_process_sender(struct msghdr *msg)
{
	struct ucred cred;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		return cred.pid;
	}
	return 0;
}

int vp_process_listener(int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) ? 0 : cred.pid;
}
