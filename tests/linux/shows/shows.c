/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the guest that sees whether a hotfix of tests/hotfixes is there.
 *
 *	shows NAME		prints "broken", "fixed" or what is neither; exit code 0, 0 and 1
 *	shows NAME again	likewise, when it was asked since it was applied: some count
 *	shows NAME follow	asks some times a second without end; a line for each answer that is
 *				another one than before: "SECONDS-SINCE-BOOT broken"
 *
 *	shows watch		see watch.c
 *
 * NAME is the name of the source. What must be so at all times is asked, too.
 */
#include "shows.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHORT_FILE 4096

static const char *const words[] = { [BROKEN] = "broken", [FIXED] = "fixed" };

bool again;

enum shown wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("wrong: ");
	vprintf(format, args); /* NOLINT(clang-analyzer-valist.Uninitialized) */
	printf("\n");
	va_end(args);
	fflush(stdout);
	return WRONG;
}

int read_file(const char *path, char *text, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = -1;

	if (fd >= 0)
		while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
			len += (size_t)n;
	if (fd < 0 || n < 0) {
		wrong("%s: %s", path, strerror(errno));
		len = 0;
	}
	if (fd >= 0)
		close(fd);
	text[len] = '\0';
	return n < 0 ? -1 : (int)len;
}

enum shown in_child(enum shown (*show)(void))
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		const enum shown shown = show();

		fflush(stdout);
		_exit((int)shown);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return wrong("no child: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) > WRONG)
		return wrong("the child ended with 0x%x", (unsigned int)status);
	return (enum shown)WEXITSTATUS(status);
}

bool pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* How many lines it has; each is ended. */
static int lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* --- /proc ------------------------------------------------------------------------------- */

static enum shown show_version(void)
{
	char text[SHORT_FILE];

	if (read_file("/proc/version", text, sizeof(text)) < 0)
		return WRONG;
	if (strncmp(text, "Linux version ", 14) || lines(text) < 1)
		return wrong("/proc/version: %s", text);
	if (lines(text) == 1)
		return BROKEN;
	return strstr(text, "\nwith a hotfix of vmpoke\n") && lines(text) == 2
		       ? FIXED
		       : wrong("/proc/version: %s", text);
}

/* Whoever else reads it counts, too: nobody does. */
static enum shown show_cmdline(void)
{
	static const char *const words[] = { "one", "two", "three" };
	char text[SHORT_FILE], last[64];
	unsigned int round = 1, at = 0, now;
	int fixed = 0;

	for (unsigned int i = 0; i < 7; i++) {
		const char *second;

		if (read_file("/proc/cmdline", text, sizeof(text)) < 0)
			return WRONG;
		if (!strstr(text, "console=ttyS0") || lines(text) < 1 || lines(text) > 2)
			return wrong("/proc/cmdline: %s", text);
		second = strchr(text, '\n') + 1;
		if (!*second)
			continue;
		if (sscanf(second, "%63s %u", last, &now) != 2)
			return wrong("/proc/cmdline: %s", text);
		if (!fixed++ && again)
			for (round = now; at < 2 && strcmp(last, words[at]) != 0;)
				at++;
		if (strcmp(last, words[at]) || now != round)
			return wrong("read %u: %s %u instead of %s %u", i, last, now, words[at],
				     round);
		at = (at + 1) % 3;
		round += !at;
	}
	if (fixed && fixed != 7)
		return wrong("%d of 7 reads were fixed", fixed);
	return fixed ? FIXED : BROKEN;
}

static long processes(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	long n = 0;

	while (dir && (entry = readdir(dir)))
		n += isdigit((unsigned char)entry->d_name[0]) != 0;
	if (dir)
		closedir(dir);
	return n;
}

static enum shown show_execdomains(void)
{
	char text[SHORT_FILE];
	unsigned long first = 1;
	bool near = false;

	for (unsigned long i = 0; i < 8; i++) {
		unsigned long reads, count;
		long before = processes(), after;
		const char *second;

		if (read_file("/proc/execdomains", text, sizeof(text)) < 0)
			return WRONG;
		after = processes();
		second = strchr(text, '\n');
		if (strncmp(text, "0-0\t", 4) || !second)
			return wrong("/proc/execdomains: %s", text);
		if (!second[1])
			return i ? wrong("it has no second line any more") : BROKEN;
		if (sscanf(second + 1, "reads %lu processes %lu here ", &reads, &count) != 2)
			return wrong("/proc/execdomains: %s", text);
		if (!i && again)
			first = reads;
		if (reads != first + i)
			return wrong("read %lu is the read %lu", first + i, reads);
		/* What is born and dies while the folders are counted. */
		near |= labs((long)count - before) <= 3 || labs((long)count - after) <= 3;
		if (!near && i == 7)
			return wrong("%lu processes are %ld to %ld folders", count, before, after);
	}
	return FIXED;
}

enum shown loadavg_is(const char *text)
{
	int running, threads, last, end = 0;

	if (sscanf(text, "42.00 42.00 42.00 %d/%d %d\nall 42\n%n", &running, &threads, &last,
		   &end) == 3 &&
	    end && !text[end])
		return running == 42 ? FIXED : wrong("a mixture: %s", text);
	if (lines(text) != 1 || strstr(text, "42.00 42.00 42.00") || strstr(text, " 42/"))
		return wrong("a mixture: %s", text);
	return BROKEN;
}

static enum shown show_loadavg(void)
{
	char text[SHORT_FILE];

	return read_file("/proc/loadavg", text, sizeof(text)) < 0 ? WRONG : loadavg_is(text);
}

static enum shown show_virtio(void)
{
	char text[SHORT_FILE], rest[32] = "";
	unsigned int status;

	if (read_file("/sys/bus/virtio/devices/virtio0/status", text, sizeof(text)) < 0)
		return WRONG;
	/* Acknowledged, driver, driver ok; and features ok, if it is a modern one. */
	if (lines(text) != 1 || sscanf(text, "0x%8x%31[ a-z]", &status, rest) < 1 ||
	    (status & 7) != 7)
		return wrong("the status is %s", text);
	if (!*rest)
		return BROKEN;
	return strcmp(rest, " fixed") ? wrong("the status is %s", text) : FIXED;
}

/* --- a warning --------------------------------------------------------------------------- */

/* How many warnings of the hotfix the log has. */
static int warnings(void)
{
	const int size = klogctl(10, NULL, 0); /* its buffer */
	char *log = size > 0 ? malloc((size_t)size + 1) : NULL;
	const int len = log ? klogctl(3, log, size) : -1; /* read all */
	int n = 0;

	if (len >= 0) {
		log[len] = '\0';
		for (const char *at = log; (at = strstr(at, "WARNING: ")); at++) {
			const char *end = strchr(at, '\n'), *file = strstr(at, "uptime-warn.c");

			n += file && (!end || file < end);
		}
	}
	free(log);
	return len < 0 ? -1 : n;
}

static enum shown read_uptime(int *fixed)
{
	char text[SHORT_FILE], key[16];
	int on;

	if (read_file("/proc/sys/kernel/sched_schedstats", key, sizeof(key)) < 0 ||
	    read_file("/proc/uptime", text, sizeof(text)) < 0)
		return WRONG;
	*fixed = sscanf(text, "%*d.%*d 0.00\nschedstats %d\n", &on) == 1 && lines(text) == 2;
	if (!*fixed && lines(text) != 1)
		return wrong("/proc/uptime: %s", text);
	if (*fixed && on != atoi(key))
		return wrong("the key is %s and the hotfix says %d", key, on);
	return *fixed ? FIXED : BROKEN;
}

static enum shown be_warned(void)
{
	int fixed;

	prctl(PR_SET_NAME, "warn-me");
	if (read_uptime(&fixed) == WRONG)
		return WRONG;
	return read_uptime(&fixed);
}

static enum shown show_warning(void)
{
	const int before = warnings();
	int fixed, after;
	enum shown me = read_uptime(&fixed), child;

	if (me == WRONG)
		return WRONG;
	if (warnings() != before)
		return wrong("there is a warning of a reader who is not to be warned");
	child = in_child(be_warned);
	if (child != me)
		return child == WRONG ? WRONG : wrong("it changed meanwhile");
	after = warnings();
	if (after - before != (me == FIXED && !again))
		return wrong("%d warnings before, %d after, and it is %s", before, after,
			     me == FIXED ? "fixed" : "broken");
	return me;
}

/* --- system calls ------------------------------------------------------------------------ */

/* syscall(): glibc asks the vDSO. */
static enum shown show_getcpu(void)
{
	unsigned int asked = 4711, zero = 0, node = 7;

	if (!pin(1))
		return wrong("there is no second CPU");
	if (syscall(SYS_getcpu, &zero, &node, NULL) || zero != 1 || node != 0)
		return wrong("getcpu says CPU %u, node %u", zero, node);
	if (syscall(SYS_getcpu, NULL, NULL, NULL))
		return wrong("getcpu does not take NULL");
	if (syscall(SYS_getcpu, 16UL, NULL, NULL) != -1 || errno != EFAULT)
		return wrong("getcpu takes the address of nobody");
	if (syscall(SYS_getcpu, &asked, NULL, NULL))
		return wrong("getcpu: %s", strerror(errno));
	return asked == 1 ? BROKEN : asked == 4712 ? FIXED : wrong("getcpu says %u", asked);
}

static enum shown show_priority(void)
{
	const int batch = sched_get_priority_max(SCHED_BATCH);

	if (sched_get_priority_max(SCHED_OTHER) != 0 || sched_get_priority_max(SCHED_FIFO) != 99 ||
	    sched_get_priority_max(SCHED_RR) != 99 || sched_get_priority_max(SCHED_IDLE) != 0 ||
	    sched_get_priority_max(6) != 0)
		return wrong("the priority of another policy is another");
	if (sched_get_priority_max(7) != -1 || errno != EINVAL)
		return wrong("policy 7 has a priority");
	return batch == 0 ? BROKEN : batch == 3 ? FIXED : wrong("the priority is %d", batch);
}

/* --- network ------------------------------------------------------------------------------ */

static int udp_socket(uint16_t port, struct sockaddr_in *to)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*to = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)to, sizeof(*to))) {
		wrong("port %u: %s", port, strerror(errno));
		return -1;
	}
	return fd;
}

/* On one CPU loopback keeps the order: what comes to the second port comes after the first. */
static enum shown show_udp(void)
{
	struct sockaddr_in first, second;
	const int fixed = udp_socket(4242, &first), other = udp_socket(4243, &second);
	struct pollfd wait = { .fd = other, .events = POLLIN };
	char got[8];
	int came = 0;

	if (fixed < 0 || other < 0 || !pin(0))
		return WRONG;
	for (int i = 0; i < 10; i++) {
		if (sendto(fixed, "x", 1, 0, (struct sockaddr *)&first, sizeof(first)) != 1 ||
		    sendto(fixed, "y", 1, 0, (struct sockaddr *)&second, sizeof(second)) != 1)
			return wrong("sendto: %s", strerror(errno));
		if (poll(&wait, 1, 20000) != 1 || recv(other, got, sizeof(got), 0) != 1)
			return wrong("a datagram to port 4243 was lost");
		came += recv(fixed, got, sizeof(got), MSG_DONTWAIT) == 1;
	}
	return came == 10 ? BROKEN : came == 0 ? FIXED : wrong("%d of 10 datagrams came", came);
}

/* ------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum shown (*show)(void);
} all[] = {
	{ "cmdline-data", show_cmdline },
	{ "cve-2024-36031", show_key_expiry },
	{ "execdomains-count", show_execdomains },
	{ "getcpu-user", show_getcpu },
	{ "proc-version", show_version },
	{ "real-fanotify-fionread", show_fanotify },
	{ "real-ipv6-forwarding", show_forwarding },
	{ "real-prctl-auxv", show_auxv },
	{ "real-signal-sender", show_sender },
	{ "real-timens-offset", show_timens },
	{ "sched-priority", show_priority },
	{ "three-together", show_loadavg },
	{ "udp-port", show_udp },
	{ "uptime-warn", show_warning },
	{ "virtio-status", show_virtio },
};

static int follow(enum shown (*show)(void))
{
	enum shown last = WRONG, now;

	while ((now = show()) != WRONG) {
		struct timespec up;

		clock_gettime(CLOCK_BOOTTIME, &up);
		if (now != last)
			printf("%lld.%03ld %s\n", (long long)up.tv_sec, up.tv_nsec / 1000000,
			       words[now]);
		fflush(stdout);
		last = now;
		usleep(200000);
	}
	return 1;
}

int main(int argc, char **argv)
{
	const char *me = argc ? strrchr(argv[0], '/') : NULL;
	bool on;

	if (me && !strcmp(me, "/request-key"))
		return serve_key_request(argc, argv);
	if (argc == 2 && !strcmp(argv[1], "watch"))
		return watch_loadavg();
	again = argc == 3 && !strcmp(argv[2], "again");
	on = argc == 3 && !strcmp(argv[2], "follow");
	for (size_t i = 0; argc == 2 + (again || on) && i < sizeof(all) / sizeof(all[0]); i++) {
		enum shown shown;

		if (strcmp(all[i].name, argv[1]) != 0)
			continue;
		if (on)
			return follow(all[i].show);
		shown = all[i].show();
		if (shown != WRONG)
			puts(words[shown]);
		return shown == WRONG;
	}
	fprintf(stderr, "usage: shows NAME [again|follow]: NAME of a hotfix\n");
	return 2;
}
