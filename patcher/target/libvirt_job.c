/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of libvirt that do not wait for ever. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/virterror.h>

#include "base/tell.h"
#include "target/hmp.h"
#include "target/libvirt_job.h"
#include "target/patient.h"

static void job_run(void *arg)
{
	struct vp_libvirt_job *j = arg;

	j->code = j->run(j);
}

void vp_libvirt_free(void *arg)
{
	struct vp_libvirt_job *j = arg;

	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++)
		free((char *)j->list[i].name);
	free(j->list);
	free(j->bytes);
	free(j->reply);
	free(j->name);
	free(j->text);
	if (j->fd >= 0)
		close(j->fd);
	if (j->dom)
		virDomainFree(j->dom);
	if (j->conn)
		virConnectClose(j->conn);
	free(j);
}

struct vp_libvirt_job *vp_libvirt_new(const char *what, int (*run)(struct vp_libvirt_job *j),
				      const char *text)
{
	struct vp_libvirt_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->what = what;
	j->run = run;
	j->fd = -1;
	j->text = text ? strdup(text) : NULL;
	if (text && !j->text) {
		vp_libvirt_free(j);
		return NULL;
	}
	return j;
}

int vp_libvirt_do(struct vp_libvirt_job *j, unsigned int timeout_ms, struct vp_err *err)
{
	const char *what = j ? j->what : "";
	char line[256];
	int rc;

	snprintf(line, sizeof(line), "%s%s%.160s", what, j && j->text ? ": " : "",
		 j && j->text ? j->text : "");
	vp_tell_asked("libvirt", line);
	rc = j ? vp_patient_call(job_run, j, vp_libvirt_free, timeout_ms) : -ENOMEM;
	vp_tell_answered("libvirt");
	if (rc == -ETIMEDOUT)
		return vp_err_set(err, rc, "libvirt does not answer within %u ms: %s", timeout_ms,
				  what);
	if (rc) {
		vp_libvirt_free(j);
		return vp_err_set(err, rc, "libvirt: %s", strerror(-rc));
	}
	rc = j->code;
	if (rc) {
		vp_err_set(err, rc, "%s", j->why.text[0] ? j->why.text : strerror(-rc));
		vp_libvirt_free(j);
	}
	return rc;
}

/* libvirt's reason, as one line of ours. */
int vp_libvirt_refused(struct vp_libvirt_job *j, const char *what)
{
	const virError *e = virGetLastError();
	char line[160] = "no reason given";
	int code = -EREMOTEIO; /* not -EIO, which is QEMU's own error */

	if (e && e->message)
		vp_hmp_line(e->message, line, sizeof(line));
	if (e && e->code == VIR_ERR_NO_DOMAIN)
		code = -ENOENT;
	else if (e && (e->code == VIR_ERR_NO_SUPPORT || e->code == VIR_ERR_ARGUMENT_UNSUPPORTED))
		code = -EOPNOTSUPP;
	else if (e && (e->code == VIR_ERR_OPERATION_DENIED || e->code == VIR_ERR_AUTH_FAILED))
		code = -EACCES;
	return vp_err_set(&j->why, code, "libvirt %s: %s", what, line);
}

static void silent(void *arg, virErrorPtr e)
{
	(void)arg, (void)e; /* libvirt would print it */
}

/* --- connecting ------------------------------------------------------------------------ */

int vp_libvirt_connect(struct vp_libvirt_job *j)
{
	char name[VP_LIBVIRT_NAME], what[VP_LIBVIRT_NAME + 32];
	const char *type;

	virSetErrorFunc(NULL, silent);
	if (virInitialize() < 0)
		return vp_libvirt_refused(j, "does not start");
	j->conn = virConnectOpen(j->text);
	vp_libvirt_name(j, name);
	if (!j->conn) {
		snprintf(what, sizeof(what), "at %s cannot be reached", name);
		return vp_libvirt_refused(j, what);
	}
	type = virConnectGetType(j->conn);
	if (!type || strcmp(type, "QEMU"))
		return vp_err_set(&j->why, -EOPNOTSUPP,
				  "libvirt at %s has no QEMU domains but those of '%.20s'", name,
				  type ? type : "?");
	return 0;
}

/* What libvirt itself takes where none is given: virConnectOpen(3). Once connected it tells. */
static const char *default_uri(void)
{
	const char *uri = getenv("LIBVIRT_DEFAULT_URI");

	return uri && *uri ? uri : geteuid() ? "qemu:///session" : "qemu:///system";
}

void vp_libvirt_name(const struct vp_libvirt_job *j, char text[VP_LIBVIRT_NAME])
{
	char *told = j->conn ? virConnectGetURI(j->conn) : NULL;
	const char *uri = told ? told : j->text ? j->text : default_uri();
	bool session = strstr(uri, "///session");

	snprintf(text, VP_LIBVIRT_NAME,
		 session ? "%.80s (of user %u alone; --connect "
			   "qemu:///system is the host's)"
			 : "%.80s",
		 uri, (unsigned int)geteuid());
	free(told);
}

const char *vp_libvirt_state_name(int state)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
		return "running";
	case VIR_DOMAIN_PAUSED:
		return "paused";
	case VIR_DOMAIN_SHUTDOWN:
		return "being shut down";
	case VIR_DOMAIN_SHUTOFF:
		return "shut off";
	case VIR_DOMAIN_CRASHED:
		return "crashed";
	case VIR_DOMAIN_PMSUSPENDED:
		return "suspended";
	}
	return "in no known state";
}

enum vp_qemu_state vp_libvirt_state(int state)
{
	if (state == VIR_DOMAIN_SHUTOFF || state == VIR_DOMAIN_CRASHED)
		return VP_QEMU_OFF;
	return state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED ? VP_QEMU_RUNNING
									  : VP_QEMU_PAUSED;
}
