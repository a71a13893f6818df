/* SPDX-License-Identifier: Apache-2.0 */
#include "target/vmlock.h"
#include "target/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmpoke/qemu.h>

#include "target/flock.h"
#include "target/process.h"

#define MARK ".mark"
#define NOTE "note " /* begins a line of it */

struct vp_vmlock {
	int folder, fd;
	unsigned int depth;
	bool marked; /* by us ... */
	int mark_fd; /* ... and that file; -1 */
	char key[80];
	char common[88], mark[160];    /* the mark's file: of the key, and of the process */
	char process[VP_PROCESS_TEXT]; /* the VM's */
	char keeper[VP_KEEPER_MAX + 1], found_keeper[VP_KEEPER_MAX + 1];
	char note[VP_NOTE_MAX + 1];
};

/* The size of a mark: in one page of the file, so that one write changes all of it, or nothing. */
#define MARK_SIZE (VP_NOTE_MAX + 256)

static void close_mark(struct vp_vmlock *l)
{
	if (l->mark_fd >= 0)
		close(l->mark_fd);
	l->mark_fd = -1;
}

static int open_folder(const char *dir, struct vp_err *err)
{
	struct stat st;
	int fd, rc = vp_folder_make(dir, err);

	if (rc)
		return rc;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		rc = vp_err_set(err, -errno, "state folder %.120s: %s", dir, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	/* Who may write there may forge marks, or hide them. */
	if (st.st_uid == geteuid() && !(st.st_mode & 022))
		return fd;
	close(fd);
	return vp_err_set(err, -EACCES,
			  "state folder %.120s is not ours alone: it must belong to uid %u and "
			  "nobody else may write to it",
			  dir, (unsigned int)geteuid());
}

int vp_vmlock_open(const char *dir, const char *key, struct vp_vmlock **out, struct vp_err *err)
{
	struct vp_vmlock *l = calloc(1, sizeof(*l));
	char name[96];
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	l->mark_fd = -1;
	strcpy(l->keeper, VP_KEEPER);
	rc = l->folder = open_folder(dir, err);
	if (rc < 0) {
		free(l);
		return rc;
	}
	snprintf(l->key, sizeof(l->key), "%s", key);
	snprintf(l->common, sizeof(l->common), "%s" MARK, l->key);
	snprintf(l->mark, sizeof(l->mark), "%s", l->common);
	snprintf(name, sizeof(name), "%s.lock", l->key);
	l->fd = openat(l->folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd < 0) {
		rc = vp_err_set(err, -errno, "%.120s/%s: %s", dir, name, strerror(errno));
		vp_vmlock_close(l);
		return rc;
	}
	*out = l;
	return 0;
}

void vp_vmlock_close(struct vp_vmlock *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd); /* drops the lock; a mark stays */
	close_mark(l);
	close(l->folder);
	free(l);
}

int vp_vmlock_keeper(struct vp_vmlock *l, const char *keeper, struct vp_err *err)
{
	size_t len = strlen(keeper);

	if (!len || len > VP_KEEPER_MAX ||
	    strspn(keeper, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") !=
		    len)
		return vp_err_set(err, -EINVAL,
				  "\"%.40s\" is no keeper of a record: letters, digits and '-'",
				  keeper);
	strcpy(l->keeper, keeper);
	return 0;
}

const char *vp_vmlock_found_keeper(const struct vp_vmlock *l)
{
	return *l->found_keeper ? l->found_keeper : NULL;
}

const char *vp_vmlock_other_keeper(const struct vp_vmlock *l)
{
	return *l->found_keeper && strcmp(l->found_keeper, l->keeper) != 0 ? l->found_keeper : NULL;
}

/* Of VMs with this key that are no more nobody needs a mark. */
static void sweep(struct vp_vmlock *l)
{
	size_t n = strlen(l->key), tail = strlen(MARK);
	int fd = openat(l->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	char process[VP_PROCESS_TEXT];

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (strncmp(e->d_name, l->key, n) || e->d_name[n] != '-' || len <= n + 1 + tail ||
		    strcmp(e->d_name + len - tail, MARK))
			continue;
		snprintf(process, sizeof(process), "%.*s", (int)(len - n - 1 - tail),
			 e->d_name + n + 1);
		if (vp_process_gone(process))
			unlinkat(l->folder, e->d_name, 0);
	}
	closedir(d);
}

void vp_vmlock_of(struct vp_vmlock *l, const char *process, bool own)
{
	snprintf(l->process, sizeof(l->process), "%s", process);
	if (!own || !*process)
		return;
	snprintf(l->mark, sizeof(l->mark), "%s-%s" MARK, l->key, l->process);
	sweep(l);
}

int vp_vmlock_take(struct vp_vmlock *l, unsigned int timeout_ms, struct vp_err *err)
{
	char holder[128];
	int rc;

	if (l->depth++)
		return 0;
	rc = vp_flock(l->fd, timeout_ms);
	if (rc)
		l->depth = 0;
	if (rc == -EWOULDBLOCK) {
		vp_flock_holder(l->fd, holder, sizeof(holder));
		return vp_err_set(err, -ETIMEDOUT,
				  "another vmpoke works on this VM: wait until it is done (%s)",
				  holder);
	}
	return rc ? vp_err_set(err, rc, "the VM's lock file: %s", strerror(-rc)) : 0;
}

void vp_vmlock_drop(struct vp_vmlock *l)
{
	if (!--l->depth)
		flock(l->fd, LOCK_UN);
}

static void write_text(const struct vp_vmlock *l, char text[MARK_SIZE])
{
	struct vp_process self;
	int n;

	vp_process_find(getpid(), &self);
	n = snprintf(text, MARK_SIZE, "%s %d %s\nqemu %s\n%s%s", l->keeper, (int)getpid(),
		     self.text, l->process, *l->note ? NOTE : "", l->note);
	memset(text + n, '\n', MARK_SIZE - (size_t)n);
}

static int cannot_mark(int why, struct vp_err *err)
{
	return vp_err_set(err, -EIO, "the VM's mark cannot be written (%s): nothing done",
			  strerror(why));
}

/* Whole or not at all, whenever we are killed. */
int vp_vmlock_mark(struct vp_vmlock *l, struct vp_err *err)
{
	char text[MARK_SIZE], fresh[192];
	bool ok;

	if (vp_vmlock_other_keeper(l)) /* its mark is all that tells of it */
		return vp_err_set(err, -EUCLEAN, "the VM is marked by \"%s\": nothing done",
				  l->found_keeper);
	write_text(l, text);
	snprintf(fresh, sizeof(fresh), "%s.new", l->mark);
	unlinkat(l->folder, fresh, 0);
	close_mark(l);
	l->mark_fd = openat(l->folder, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ok = l->mark_fd >= 0 && write(l->mark_fd, text, MARK_SIZE) == MARK_SIZE;
	if (!ok || renameat(l->folder, fresh, l->folder, l->mark)) {
		int why = errno;

		unlinkat(l->folder, fresh, 0);
		close_mark(l);
		return cannot_mark(why, err);
	}
	l->marked = true;
	return 0;
}

/* What a mark says: who left it, for which process of the VM, and the note. */
struct mark {
	int pid;
	char keeper[VP_KEEPER_MAX + 1], process[VP_PROCESS_TEXT], note[VP_NOTE_MAX + 1];
};

/* -ENOENT; -EPROTO: it makes no sense. */
static int parse_mark(const struct vp_vmlock *l, const char *name, struct mark *m)
{
	int fd = openat(l->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[MARK_SIZE] = "", *qemu;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : -EPROTO;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	qemu = n > 0 ? strstr(text, "\nqemu ") : NULL;
	if (!qemu || sscanf(text, "%31s %d", m->keeper, &m->pid) != 2 || m->pid <= 0)
		return -EPROTO;
	qemu += strlen("\nqemu ");
	snprintf(m->process, sizeof(m->process), "%.*s", (int)strcspn(qemu, "\n"), qemu);
	qemu = strstr(qemu, "\n" NOTE);
	if (qemu)
		qemu += strlen("\n" NOTE);
	snprintf(m->note, sizeof(m->note), "%.*s", qemu ? (int)strcspn(qemu, "\n") : 0,
		 qemu ? qemu : "");
	return 0;
}

static bool is_ours(const struct vp_vmlock *l, const struct mark *m)
{
	return !strcmp(m->keeper, l->keeper);
}

void vp_vmlock_unmark(struct vp_vmlock *l)
{
	struct mark m;

	if (!l->marked || unlinkat(l->folder, l->mark, 0))
		return;
	close_mark(l);
	l->marked = false;
	l->note[0] = 0;
	/* Whoever left that one could not tell which VM it was. */
	if (strcmp(l->mark, l->common) && (parse_mark(l, l->common, &m) || is_ours(l, &m)))
		unlinkat(l->folder, l->common, 0);
}

static int read_mark(struct vp_vmlock *l, const char *name)
{
	struct mark m;
	int rc = parse_mark(l, name, &m);
	bool gone = rc || vp_process_gone(m.process);

	strcpy(l->note, gone ? "" : m.note);
	strcpy(l->found_keeper, gone ? "" : m.keeper);
	if (rc)
		return rc == -ENOENT ? 0 : -1;
	if (!gone)
		return m.pid;
	unlinkat(l->folder, name, 0);
	return 0;
}

/* KEY.mark or KEY-PROCESS.mark. False: it is no mark, or has our key. */
static bool key_of(const struct vp_vmlock *l, const char *name, const char *process, char *key)
{
	char tail[VP_PROCESS_TEXT + 8];
	size_t len = strlen(name), n;

	for (int own = 1; own >= 0; own--) {
		snprintf(tail, sizeof(tail), "%s%s" MARK, own ? "-" : "", own ? process : "");
		n = strlen(tail);
		if (len <= n || len - n >= sizeof(l->key) || strcmp(name + len - n, tail))
			continue;
		snprintf(key, sizeof(l->key), "%.*s", (int)(len - n), name);
		return strcmp(key, l->key);
	}
	return false;
}

bool vp_vmlock_find(struct vp_vmlock *l, bool (*is)(const char *process, const char *arg),
		    const char *arg, char key[80], char process[VP_PROCESS_TEXT])
{
	int fd = openat(l->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct mark m;
	bool found = false;

	if (!d && fd >= 0)
		close(fd);
	while (d && !found && (e = readdir(d)))
		found = strstr(e->d_name, MARK) && !parse_mark(l, e->d_name, &m) && *m.process &&
			key_of(l, e->d_name, m.process, key) && is(m.process, arg);
	if (found)
		strcpy(process, m.process);
	if (d)
		closedir(d);
	return found;
}

int vp_vmlock_interrupted(struct vp_vmlock *l)
{
	struct mark m;
	int pid;

	if (l->marked)
		return 0;
	pid = read_mark(l, l->mark);
	if (!pid)
		return read_mark(l, l->common);
	/* There may be both: one that is another's is not passed over. */
	if (strcmp(l->mark, l->common) && !parse_mark(l, l->common, &m) &&
	    !vp_process_gone(m.process) && !is_ours(l, &m))
		strcpy(l->found_keeper, m.keeper);
	return pid;
}

int vp_vmlock_note(struct vp_vmlock *l, const char *text, struct vp_err *err)
{
	char mark[MARK_SIZE];

	if (strlen(text) > VP_NOTE_MAX || strchr(text, '\n'))
		return vp_err_set(err, -EINVAL, "this is no note for a VM's mark");
	strcpy(l->note, text);
	if (!l->marked)
		return 0;
	/* In its place: a file system may take half a millisecond for a rename over another file.
	 */
	write_text(l, mark);
	return pwrite(l->mark_fd, mark, MARK_SIZE, 0) == MARK_SIZE ? 0 : cannot_mark(errno, err);
}

const char *vp_vmlock_noted(const struct vp_vmlock *l)
{
	return l->note;
}
