/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor over a QMP socket. Memory comes by `pmemsave` into a memfd that QEMU gets with
 * `add-fd` and opens as /proc/self/fd/N: no file, no permission, no third party.
 *
 * What `add-fd` gave stays with QEMU until `remove-fd` (from 9.1 on; before, until its last client
 * goes). So it is taken back, and bears our name: whoever comes after one that was killed takes
 * that one's back, too. While the VM is paused QEMU before 9.1 only notes that, and closes the
 * descriptor when it next tidies up with the VM running (monitor_fdset_cleanup()).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/monitor.h"
#include "target/process.h"

#define SAVE_MAX (16ul << 20) /* a piece: QEMU's main loop stands still while it writes */

struct qmp_monitor {
	struct vp_monitor base;
	struct vp_qmp *qmp;
	int memfd;
	char file[48]; /* the memfd as QEMU names it; "": it has none yet */
	bool shared;   /* it may have the memfd: by that number, in that set, or it is not known */
	json_int_t fd, fdset;
	bool no_save;
};

static struct qmp_monitor *of(struct vp_monitor *m)
{
	return (struct qmp_monitor *)m;
}

static void take_events(struct vp_monitor *m)
{
	m->resumes = vp_qmp_resumes(of(m)->qmp);
	m->pauses = vp_qmp_pauses(of(m)->qmp);
}

static int monitor_execute(struct vp_monitor *m, const char *command, json_t *args, int fd,
			   json_t **ret, struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = vp_qmp_call_passing(of(m)->qmp, command, args, fd, ret, &why);

	take_events(m);
	return rc ? vp_err_set(err, rc, "QMP %s: %.200s", command, why.text) : 0;
}

static int monitor_query(struct vp_monitor *m, const char *const *commands, size_t n, json_t **ret,
			 struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = vp_qmp_query(of(m)->qmp, commands, n, ret, &why);

	take_events(m);
	return rc ? vp_err_set(err, rc, "QMP %.220s", why.text) : 0;
}

static void monitor_listen(struct vp_monitor *m)
{
	vp_qmp_hear(of(m)->qmp);
	take_events(m);
}

/* --- descriptors that QEMU has ---------------------------------------------------- */

#define TAG "vmpoke:" /* and the process */

static void own_tag(char *tag, size_t size)
{
	struct vp_process self = { 0 };

	vp_process_find(getpid(), &self);
	snprintf(tag, size, TAG "%s", self.text);
}

/* Was it a vmpoke that has ended? */
static bool is_orphan(const char *tag)
{
	return !strncmp(tag, TAG, strlen(TAG)) && vp_process_gone(tag + strlen(TAG));
}

static void remove_fd(struct qmp_monitor *m, json_int_t set, json_int_t fd)
{
	monitor_execute(&m->base, "remove-fd", json_pack("{s:I, s:I}", "fdset-id", set, "fd", fd),
			-1, NULL, NULL);
}

/* Take back what we gave, if @own, and what others left behind. */
static void take_back(struct qmp_monitor *m, bool own)
{
	json_t *sets = NULL, *set, *entry;
	char tag[96];
	size_t i, j;

	own_tag(tag, sizeof(tag));
	if (monitor_execute(&m->base, "query-fdsets", json_object(), -1, &sets, NULL))
		return;
	json_array_foreach(sets, i, set)
	{
		json_array_foreach(json_object_get(set, "fds"), j, entry)
		{
			const char *opaque = NULL;
			json_int_t id, fd;

			if (json_unpack(set, "{s:I}", "fdset-id", &id) ||
			    json_unpack(entry, "{s:I, s:s}", "fd", &fd, "opaque", &opaque) ||
			    (strcmp(opaque, tag) ? !is_orphan(opaque) : !own))
				continue;
			remove_fd(m, id, fd);
		}
	}
	json_decref(sets);
}

/* Give QEMU the memfd. */
static int share(struct qmp_monitor *m, struct vp_err *err)
{
	json_t *ret = NULL;
	json_int_t fd = -1;
	char tag[96];
	int rc;

	take_back(m, false);
	if (m->memfd < 0)
		m->memfd = memfd_create("vmpoke", MFD_CLOEXEC);
	if (m->memfd < 0)
		return vp_err_set(err, -errno, "memfd: %s", strerror(errno));
	own_tag(tag, sizeof(tag));
	m->shared = true;
	rc = monitor_execute(&m->base, "add-fd", json_pack("{s:s}", "opaque", tag), m->memfd, &ret,
			     err);
	if (rc)
		return rc;
	if (json_unpack(ret, "{s:I, s?I}", "fd", &fd, "fdset-id", &m->fdset) || fd < 0 ||
	    fd > 1 << 24)
		rc = vp_err_set(err, -EPROTO, "QMP add-fd: no descriptor in the answer");
	else
		snprintf(m->file, sizeof(m->file), "/proc/self/fd/%d", (int)fd);
	m->fd = rc ? -1 : fd;
	json_decref(ret);
	return rc;
}

/* --- memory ------------------------------------------------------------------------ */

static int save_piece(struct qmp_monitor *m, uint64_t gpa, uint8_t *to, size_t len,
		      struct vp_err *err)
{
	int rc = monitor_execute(&m->base, "pmemsave",
				 json_pack("{s:I, s:I, s:s}", "val", (json_int_t)gpa, "size",
					   (json_int_t)len, "filename", m->file),
				 -1, NULL, err);

	for (size_t at = 0; !rc && at < len;) {
		ssize_t n = pread(m->memfd, to + at, len - at, (off_t)at);

		if (n > 0)
			at += (size_t)n;
		else if (!n || errno != EINTR)
			rc = vp_err_set(err, -EIO, "QMP pmemsave: %zu bytes are missing", len - at);
	}
	return rc;
}

static int monitor_save(struct vp_monitor *base, vp_gpa gpa, void *buf, size_t len,
			struct vp_err *err)
{
	struct qmp_monitor *m = of(base);
	bool first = !m->file[0];
	int rc = 0;

	if (m->no_save)
		return vp_err_set(err, -EOPNOTSUPP, "QEMU cannot hand its memory over");
	if (first)
		rc = share(m, err);
	for (size_t at = 0; !rc && at < len; at += SAVE_MAX)
		rc = save_piece(m, gpa.v + at, (uint8_t *)buf + at,
				len - at < SAVE_MAX ? len - at : SAVE_MAX, err);
	if (rc && first && !vp_qmp_is_broken(m->qmp)) {
		m->no_save = true; /* confined by AppArmor or SELinux, as it seems */
		rc = -EOPNOTSUPP;
	}
	return rc;
}

static void monitor_close(struct vp_monitor *base)
{
	struct qmp_monitor *m = of(base);

	if (m->shared && !vp_qmp_is_broken(m->qmp) && m->fd >= 0 && m->fdset >= 0)
		remove_fd(m, m->fdset, m->fd);
	else if (m->shared && !vp_qmp_is_broken(m->qmp))
		take_back(m, true);
	vp_qmp_close(m->qmp);
	if (m->memfd >= 0)
		close(m->memfd);
	free(m);
}

static const struct vp_monitor_ops qmp_ops = {
	.name = "qmp",
	.hmp = vp_monitor_hmp,
	.execute = monitor_execute,
	.query = monitor_query,
	.listen = monitor_listen,
	.save = monitor_save,
	.close = monitor_close,
};

int vp_monitor_qmp_open(const char *path, unsigned int timeout_ms, struct vp_monitor **out,
			struct vp_err *err)
{
	struct qmp_monitor *m = calloc(1, sizeof(*m));
	struct vp_err why = { "" };
	int rc;

	if (!m)
		return vp_err_set(err, -ENOMEM, "out of memory");
	m->base.ops = &qmp_ops;
	m->memfd = -1;
	m->fd = m->fdset = -1;
	rc = vp_qmp_connect(path, timeout_ms, &m->qmp, &why);
	if (rc) {
		free(m);
		if (rc == -ETIMEDOUT)
			return vp_err_set(err, rc,
					  "QMP socket %.100s: no greeting within %u ms; is "
					  "another client connected? QEMU serves one at a time",
					  path, timeout_ms);
		return vp_err_set(err, rc, "QMP socket: %.200s", why.text);
	}
	if (vp_qmp_is_vmpoke(m->qmp)) {
		vp_qmp_close(m->qmp);
		free(m);
		return vp_err_set(err, -EPROTO,
				  "%.100s is the socket of a guest of `vmpoke run`: give its name, "
				  "or the path alone",
				  path);
	}
	vp_process_find(vp_qmp_peer(m->qmp), &m->base.peer);
	*out = &m->base;
	return 0;
}
