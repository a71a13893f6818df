/* SPDX-License-Identifier: Apache-2.0 */
/* What all monitors share, and the monitor over the gdbstub. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/gdb.h"
#include "target/monitor.h"

int vp_monitor_check_arch(struct vp_monitor *m, struct vp_err *err)
{
	json_t *ret = NULL;
	const char *arch = NULL;
	int rc = m->ops->execute(m, "query-target", json_object(), -1, &ret, err);

	if (rc)
		return rc == -ENOSYS ? vp_err_set(err, -EPROTO, "this QMP socket is not QEMU's")
				     : rc;
	if (json_unpack(ret, "{s:s}", "arch", &arch))
		rc = vp_err_set(err, -EPROTO, "QMP query-target: no architecture in the answer");
	else if (strcmp(arch, "x86_64"))
		rc = vp_err_set(err, -EOPNOTSUPP,
				"the guest is of architecture '%.20s': vmpoke patches x86_64 only",
				arch);
	json_decref(ret);
	return rc;
}

int vp_monitor_hmp(struct vp_monitor *m, const char *command, char **text, struct vp_err *err)
{
	json_t *ret = NULL;
	int rc = m->ops->execute(m, "human-monitor-command",
				 json_pack("{s:s}", "command-line", command), -1, &ret, err);

	if (rc)
		return rc;
	*text = json_is_string(ret) ? strdup(json_string_value(ret)) : NULL;
	if (!*text)
		rc = vp_err_set(err, -EPROTO, "QMP: '%s' gave no text", command);
	json_decref(ret);
	return rc;
}

int vp_monitor_add_socket(struct vp_monitor *m, const char *label, int fd, bool listens,
			  struct vp_err *err)
{
	int rc = m->ops->execute(m, "getfd", json_pack("{s:s}", "fdname", label), fd, NULL, err);
	json_t *data;

	if (rc)
		return rc;
	data = json_pack("{s:{s:s, s:{s:s}}, s:b}", "addr", "type", "fd", "data", "str", label,
			 "server", listens);
	if (listens)
		json_object_update_new(data, json_pack("{s:b, s:b}", "wait", 0, "telnet", 1));
	rc = m->ops->execute(m, "chardev-add",
			     json_pack("{s:s, s:{s:s, s:o}}", "id", label, "backend", "type",
				       "socket", "data", data),
			     -1, NULL, err);
	if (rc)
		m->ops->execute(m, "closefd", json_pack("{s:s}", "fdname", label), -1, NULL, NULL);
	return rc;
}

/* --- over the gdbstub -------------------------------------------------------- */

/* What a VM is that is opened, and how its vCPUs stand: each is asked about once, soon. */
static const char *const first_questions[] = {
	"info version", "qom-get /machine confidential-guest-support",
	"info uuid",	"info mtree -f",
	"info name",	"info kvm",
	"info cpus",	"info registers -a",
};
#define FIRST (sizeof(first_questions) / sizeof(first_questions[0]))

struct gdb_monitor {
	struct vp_monitor base;
	struct vp_gdb *gdb;
	struct vp_gdb_question first[FIRST]; /* with texts that nobody has asked for yet */
};

static int gdb_hmp(struct vp_monitor *m, const char *command, char **text, struct vp_err *err)
{
	struct gdb_monitor *gm = (struct gdb_monitor *)m;

	for (size_t i = 0; i < FIRST; i++)
		if (gm->first[i].text && !strcmp(gm->first[i].command, command)) {
			*text = gm->first[i].text;
			gm->first[i].text = NULL;
			return 0;
		}
	return vp_gdb_hmp(gm->gdb, command, text, err);
}

static void forget_first(struct gdb_monitor *gm)
{
	for (size_t i = 0; i < FIRST; i++) {
		free(gm->first[i].text);
		gm->first[i].text = NULL;
	}
}

static void gdb_close(struct vp_monitor *m)
{
	forget_first((struct gdb_monitor *)m);
	free(m);
}

static const struct vp_monitor_ops gdb_ops = {
	.name = "gdb",
	.hmp = gdb_hmp,
	.close = gdb_close,
};

int vp_monitor_gdb_open(struct vp_gdb *g, struct vp_monitor **out, struct vp_err *err)
{
	struct gdb_monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return vp_err_set(err, -ENOMEM, "out of memory");
	m->base.ops = &gdb_ops;
	m->gdb = g;
	*out = &m->base;
	return 0;
}

int vp_monitor_gdb_first(struct vp_monitor *m, struct vp_err *err)
{
	struct gdb_monitor *gm = (struct gdb_monitor *)m;
	struct vp_gdb_look look = { .questions = gm->first, .nquestions = FIRST };
	int rc;

	for (size_t i = 0; i < FIRST; i++)
		gm->first[i].command = first_questions[i];
	rc = vp_gdb_look(gm->gdb, &look, err);
	return rc == -EAGAIN ? 0 : rc; /* it was let go on, and stands again: one by one, then */
}

void vp_monitor_gdb_forget(struct vp_monitor *m)
{
	forget_first((struct gdb_monitor *)m);
}
