/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor of a libvirt domain, through libvirt-qemu's passthrough. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/libvirt-qemu.h>

#include "target/libvirt_job.h"
#include "target/qemu_internal.h"
#include "target/qmp_wire.h"
#include "target/wait.h"

#define PEEK_MAX (1u << 20) /* the most that any libvirt takes in one message */

/*
 * How much later than it should calls may end, together, while we hold the domain. One that is left
 * behind may be carried out when we are gone; one that ended can be undone.
 */
#define LATE_MS 60000u

struct libvirt_monitor {
	struct vp_monitor base;
	virConnectPtr conn;
	virDomainPtr dom;
	unsigned int timeout_ms;
	unsigned int grace_ms; /* left of LATE_MS; 0: we do not hold the domain */
	bool late;	       /* a call was left behind: what is left would wait behind it */
};

static struct libvirt_monitor *of(struct vp_monitor *m)
{
	return (struct libvirt_monitor *)m;
}

static int work(struct libvirt_monitor *m, struct vp_libvirt_job *j, struct vp_err *err)
{
	int64_t begin = vp_now_ms(), over;
	int rc;

	if (m->late) {
		vp_libvirt_free(j);
		return vp_err_set(err, -ENOTCONN, "libvirt did not answer earlier");
	}
	if (j) {
		virDomainRef(m->dom);
		j->dom = m->dom;
	}
	rc = vp_libvirt_do(j, m->timeout_ms + m->grace_ms, err);
	m->late = rc == -ETIMEDOUT;
	over = vp_now_ms() - begin - m->timeout_ms;
	if (m->grace_ms && over > 0) {
		m->grace_ms = over < m->grace_ms ? m->grace_ms - (unsigned int)over : 1;
		m->base.slow = true;
	}
	return rc;
}

static int run_command(struct vp_libvirt_job *j)
{
	int rc;

	if (j->fd >= 0)
		rc = virDomainQemuMonitorCommandWithFiles(j->dom, j->text, 1, &j->fd, NULL, NULL,
							  &j->reply, 0);
	else
		rc = virDomainQemuMonitorCommand(j->dom, j->text, &j->reply, 0);
	return rc < 0 ? vp_libvirt_refused(j, "cannot ask QEMU") : 0;
}

static int take_reply(const char *text, const char *command, json_t **ret, struct vp_err *err)
{
	json_error_t why;
	json_t *reply = strlen(text) <= VP_QMP_REPLY_MAX
				? json_loads(text, JSON_REJECT_DUPLICATES, &why)
				: NULL;
	json_t *value = json_object_get(reply, "return");
	struct vp_err reason = { "" };
	int rc = 0;

	if (value && ret)
		*ret = json_incref(value);
	if (!value && json_object_get(reply, "error"))
		rc = vp_qmp_error_code(json_object_get(reply, "error"), &reason);
	else if (!value)
		rc = vp_err_set(&reason, -EPROTO, "libvirt passed on what is no QMP reply");
	json_decref(reply);
	return rc ? vp_err_set(err, rc, "QMP %s: %.200s", command, reason.text) : 0;
}

static int monitor_execute(struct vp_monitor *m, const char *command, json_t *args, int fd,
			   json_t **ret, struct vp_err *err)
{
	json_t *request =
		args ? json_pack("{s:s, s:o}", "execute", command, "arguments", args) : NULL;
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	struct vp_libvirt_job *j =
		text ? vp_libvirt_new("pass a command on to QEMU", run_command, text) : NULL;
	int rc;

	json_decref(request);
	free(text);
	if (j && fd >= 0) {
		j->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (j->fd < 0) {
			vp_libvirt_free(j);
			return vp_err_set(err, -EMFILE, "libvirt: no descriptor left");
		}
	}
	rc = work(of(m), j, err);
	if (rc)
		return rc;
	rc = take_reply(j->reply, command, ret, err);
	vp_libvirt_free(j);
	return rc;
}

/* libvirt has QEMU save it to a file that QEMU may write, whatever confines it. */
static int run_peek(struct vp_libvirt_job *j)
{
	if (virDomainMemoryPeek(j->dom, j->gpa, j->len, j->bytes, VIR_MEMORY_PHYSICAL) < 0)
		return vp_libvirt_refused(j, "cannot read memory");
	return 0;
}

static int monitor_save(struct vp_monitor *m, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	for (size_t at = 0; at < len; at += PEEK_MAX) {
		struct vp_libvirt_job *j = vp_libvirt_new("read memory", run_peek, NULL);
		size_t n = len - at < PEEK_MAX ? len - at : PEEK_MAX;
		int rc;

		if (!j)
			return vp_err_set(err, -ENOMEM, "out of memory");
		j->gpa = gpa.v + at;
		j->len = n;
		j->bytes = malloc(n);
		if (!j->bytes) {
			vp_libvirt_free(j);
			return vp_err_set(err, -ENOMEM, "out of memory");
		}
		rc = work(of(m), j, err);
		if (rc)
			return rc;
		memcpy((uint8_t *)buf + at, j->bytes, n);
		vp_libvirt_free(j);
	}
	return 0;
}

/*
 * libvirt's own suspend and resume: it gives the leases on the disks back when it sees its domain
 * stop, by whomever, and takes them again only if it is libvirt who lets it go on.
 */
static int run_suspend(struct vp_libvirt_job *j)
{
	return virDomainSuspend(j->dom) < 0 ? vp_libvirt_refused(j, "cannot suspend the domain")
					    : 0;
}

static int run_state(struct vp_libvirt_job *j)
{
	if (virDomainGetState(j->dom, &j->state, &j->reason, 0) < 0)
		return vp_libvirt_refused(j, "does not tell the domain's state");
	return 0;
}

/* What it did not stop itself it learns from QEMU, a moment later; and resumes nothing before. */
#define LEARN_US    2000u
#define LEARN_TRIES 500u

static int run_resume(struct vp_libvirt_job *j)
{
	int rc = run_state(j);

	for (unsigned int i = 0; i < LEARN_TRIES && !rc; i++) {
		if (vp_libvirt_state(j->state) != VP_QEMU_RUNNING)
			break;
		usleep(LEARN_US);
		rc = run_state(j);
	}
	if (!rc && virDomainResume(j->dom) < 0)
		rc = vp_libvirt_refused(j, "cannot resume the domain");
	return rc;
}

static int monitor_pause(struct vp_monitor *m, struct vp_err *err)
{
	struct vp_libvirt_job *j = vp_libvirt_new("suspend the domain", run_suspend, NULL);
	int rc;

	of(m)->grace_ms = LATE_MS;
	m->slow = false;
	rc = work(of(m), j, err);
	if (!rc)
		vp_libvirt_free(j);
	return rc;
}

static int monitor_resume(struct vp_monitor *m, bool again, struct vp_err *err)
{
	struct vp_libvirt_job *j = vp_libvirt_new("resume the domain", run_resume, NULL);
	int rc = work(of(m), j, err);

	if (!again)
		of(m)->grace_ms = 0;
	if (!rc)
		vp_libvirt_free(j);
	return rc;
}

static int monitor_seen(struct vp_monitor *m, enum vp_seen *seen, struct vp_err *err)
{
	struct vp_libvirt_job *j = vp_libvirt_new("tell the domain's state", run_state, NULL);
	int rc = work(of(m), j, err);

	if (rc)
		return rc;
	if (vp_libvirt_state(j->state) == VP_QEMU_RUNNING)
		*seen = VP_SEEN_RUNNING;
	else if (j->state == VIR_DOMAIN_PAUSED && j->reason != VIR_DOMAIN_PAUSED_UNKNOWN)
		*seen = VP_SEEN_PAUSED;
	else
		*seen = VP_SEEN_STOPPED;
	vp_libvirt_free(j);
	return 0;
}

static void monitor_describe(struct vp_monitor *m, struct vp_qemu_info *info)
{
	struct vp_libvirt_job *j = vp_libvirt_new("tell the pinning", vp_libvirt_pinning, NULL);

	if (work(of(m), j, NULL))
		return;
	snprintf(info->pinning, sizeof(info->pinning), "%s", j->reply);
	vp_libvirt_free(j);
}

static void monitor_close(struct vp_monitor *base)
{
	struct libvirt_monitor *m = of(base);

	if (!m->late) { /* else these would wait, too */
		virDomainFree(m->dom);
		virConnectClose(m->conn);
	}
	free(m);
}

static const struct vp_monitor_ops libvirt_ops = {
	.name = "libvirt",
	.hmp = vp_monitor_hmp,
	.execute = monitor_execute,
	.save = monitor_save,
	.pause = monitor_pause,
	.resume = monitor_resume,
	.seen = monitor_seen,
	.describe = monitor_describe,
	.close = monitor_close,
};

static int find_domain(struct vp_libvirt_job *j)
{
	char name[VP_LIBVIRT_NAME];
	int rc = vp_libvirt_connect(j);

	if (rc)
		return rc;
	vp_libvirt_name(j, name);
	j->dom = virDomainLookupByName(j->conn, j->name);
	if (!j->dom)
		j->dom = virDomainLookupByUUIDString(j->conn, j->name);
	if (!j->dom)
		return vp_err_set(&j->why, -ENOENT,
				  "libvirt at %s knows no domain '%.60s': see `vmpoke list`", name,
				  j->name);
	rc = run_state(j);
	if (rc)
		return rc;
	if (vp_libvirt_state(j->state) == VP_QEMU_OFF)
		return vp_err_set(&j->why, -ENOTCONN,
				  "domain %.60s is %s: start it first (virsh start %.60s)", j->name,
				  vp_libvirt_state_name(j->state), j->name);
	return 0;
}

static int monitor_open(const char *uri, const char *domain, unsigned int timeout_ms,
			struct vp_monitor **out, struct vp_err *err)
{
	struct libvirt_monitor *m = calloc(1, sizeof(*m));
	struct vp_libvirt_job *j = vp_libvirt_new("find the domain", find_domain, uri);
	int rc;

	if (j)
		j->name = strdup(domain);
	if (!m || !j || !j->name) {
		free(m);
		vp_libvirt_free(j);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	rc = vp_libvirt_do(j, timeout_ms, err);
	if (rc) {
		free(m);
		return rc;
	}
	m->base.ops = &libvirt_ops;
	m->timeout_ms = timeout_ms;
	m->conn = j->conn;
	m->dom = j->dom;
	j->conn = NULL;
	j->dom = NULL;
	vp_libvirt_free(j);
	*out = &m->base;
	return 0;
}

int vp_qemu_open_libvirt(const char *uri, const char *domain, const struct vp_qemu_config *cfg,
			 struct vp_qemu **out, struct vp_err *err)
{
	unsigned int timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : VP_TIMEOUT_MS;
	struct vp_qemu_config own = *cfg;
	struct vp_monitor *mon = NULL;
	int rc = monitor_open(uri, domain, timeout_ms, &mon, err);

	own.gdb_path = own.qmp_path = NULL;
	if (!rc && (rc = vp_monitor_who(mon, timeout_ms, err)))
		mon->ops->close(mon);
	return rc ? rc : vp_qemu_open_monitor(&own, domain, mon, out, err);
}
