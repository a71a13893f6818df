/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/libvirt_job.h"
#include "target/libvirt_preload.h"

#define UUID_DIGITS 36u

static int run_xml(struct vp_libvirt_job *j)
{
	int rc = vp_libvirt_connect(j);

	if (rc)
		return rc;
	j->dom = virDomainLookupByName(j->conn, j->name);
	if (!j->dom && strlen(j->name) == UUID_DIGITS)
		j->dom = virDomainLookupByUUIDString(j->conn, j->name);
	if (!j->dom)
		return vp_err_set(&j->why, -ENOENT, "there is no domain %.80s", j->name);
	j->bytes = calloc(1, VIR_UUID_STRING_BUFLEN);
	j->reply = virDomainGetXMLDesc(j->dom, 0);
	if (!j->bytes || !j->reply || virDomainGetState(j->dom, &j->state, &j->reason, 0) < 0 ||
	    virDomainGetUUIDString(j->dom, (char *)j->bytes) < 0)
		return vp_libvirt_refused(j, "does not describe a domain");
	return 0;
}

/* libvirt writes it in this form, whatever was typed. A value with an entity is none of ours. */
static void find_env(const char *xml, const char *variable, char *value, size_t size)
{
	char head[80];
	const char *at, *end;

	*value = '\0';
	snprintf(head, sizeof(head), "<qemu:env name='%s' value='", variable);
	at = strstr(xml, head);
	end = at ? strchr(at + strlen(head), '\'') : NULL;
	if (!end)
		return;
	at += strlen(head);
	if ((size_t)(end - at) < size && !memchr(at, '&', (size_t)(end - at)))
		snprintf(value, size, "%.*s", (int)(end - at), at);
}

int vp_libvirt_preload(const char *uri, const char *name, unsigned int timeout_ms,
		       struct vp_libvirt_preload *out, struct vp_err *err)
{
	struct vp_libvirt_job *j = vp_libvirt_new("describe a domain", run_xml, uri);
	int rc;

	if (!j || !(j->name = strdup(name))) {
		vp_libvirt_free(j);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	rc = vp_libvirt_do(j, timeout_ms ? timeout_ms : VP_TIMEOUT_MS, err);
	if (rc)
		return rc;
	*out = (struct vp_libvirt_preload){ .runs = vp_libvirt_state(j->state) != VP_QEMU_OFF };
	snprintf(out->uuid, sizeof(out->uuid), "%s", (const char *)j->bytes);
	find_env(j->reply, "LD_PRELOAD", out->preloaded, sizeof(out->preloaded));
	find_env(j->reply, "VMPOKE_SOCKET", out->socket, sizeof(out->socket));
	vp_libvirt_free(j);
	return 0;
}
