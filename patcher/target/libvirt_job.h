/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that use libvirt share (monitor_libvirt.c, libvirt_job.c, libvirt_list.c; nothing
 * else does, so that who calls nothing of them does not link with libvirt).
 *
 * libvirt's calls wait for its daemon and for QEMU without a limit, so each runs as a job that can
 * be left behind (patient.h). A job owns all it needs, its reference to the domain, too.
 */
#ifndef VP_TARGET_LIBVIRT_JOB_H
#define VP_TARGET_LIBVIRT_JOB_H

#include <libvirt/libvirt.h>

#include <vmpoke/qemu.h>

#define VP_LIBVIRT_NAME 160

struct vp_libvirt_job {
	int (*run)(struct vp_libvirt_job *j); /* 0 or -errno, then with why */
	const char *what;		      /* that is, for people; lives for ever */
	int code;
	struct vp_err why;
	virConnectPtr conn; /* references, owned */
	virDomainPtr dom;
	char *text; /* URI, domain or request; owned */
	char *name;
	int fd; /* passed along; owned */
	char *reply;
	uint64_t gpa;
	size_t len;
	uint8_t *bytes;
	int state, reason, vcpus;
	struct vp_qemu_domain *list;
	size_t n;
};

/* @text is copied; may be NULL. NULL: no memory. */
struct vp_libvirt_job *vp_libvirt_new(const char *what, int (*run)(struct vp_libvirt_job *j),
				      const char *text);
void vp_libvirt_free(void *job);

/* Run it (NULL: -ENOMEM). On an error it is not the caller's any more. */
int vp_libvirt_do(struct vp_libvirt_job *j, unsigned int timeout_ms, struct vp_err *err);

/* --- in jobs --- */

/* libvirt's last reason, as one line of ours; its code: -EREMOTEIO and others, never -EIO. */
int vp_libvirt_refused(struct vp_libvirt_job *j, const char *what);

/* Connect to the URI in @j->text. -EOPNOTSUPP: its domains are not QEMU's. */
int vp_libvirt_connect(struct vp_libvirt_job *j);

/*
 * Which libvirt that is, for messages: the URI, and whose it is if it is the session's, whose user
 * may well have meant the system's.
 */
void vp_libvirt_name(const struct vp_libvirt_job *j, char text[VP_LIBVIRT_NAME]);

/* The pinning of @j->dom as text, into @j->reply. */
int vp_libvirt_pinning(struct vp_libvirt_job *j);

/* --- of virDomainState --- */
const char *vp_libvirt_state_name(int state);
enum vp_qemu_state vp_libvirt_state(int state);

#endif /* VP_TARGET_LIBVIRT_JOB_H */
