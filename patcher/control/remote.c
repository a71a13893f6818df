/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of QEMU behind the control commands. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "control/remote.h"
#include "hotfix/call.h"
#include "target/qmp_wire.h"
#include "target/vmlock.h"

struct vp_remote {
	struct vp_remote_config cfg;
	struct vp_qemu *qemu;
	struct vp_engine *engine;
	struct vp_control *control;
	char *ledger;
	struct vp_recovered done;
	bool recovered;
	void (*event)(const char *name, const json_t *data); /* NULL: nobody listens */
};

static void pass_event(void *host, const char *name, json_t *data)
{
	struct vp_remote *r = host;

	if (r->event)
		r->event(name, data);
	json_decref(data);
}

void vp_remote_listen(struct vp_remote *r, void (*event)(const char *name, const json_t *data))
{
	r->event = event;
}

/* --- names ------------------------------------------------------------------- */

static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

bool vp_remote_is(const char *target)
{
	return after(target, "qemu+gdb:") || after(target, "qemu+qmp:") ||
	       after(target, "libvirt:") || after(target, "libvirt+");
}

int vp_remote_check(const char *target, struct vp_err *err)
{
	const char *uri = after(target, "libvirt+"), *name = strrchr(target, ':');

	if (uri && (!name || name == uri || name < uri || !name[1]))
		return vp_err_set(
			err, -EINVAL,
			"%.100s: write libvirt+URI:NAME, as in libvirt+qemu:///system:web1",
			target);
	if (!uri && (!vp_remote_is(target) || !strchr(target, ':')[1]))
		return vp_err_set(err, -EINVAL,
				  "\"%.120s\" is no target: write qemu+gdb:PATH, qemu+qmp:PATH, "
				  "libvirt:NAME or libvirt+URI:NAME",
				  target);
	return 0;
}

/* A URI holds colons of its own. */
bool vp_remote_libvirt(const char *target, char **uri, const char **name)
{
	const char *rest = after(target, "libvirt+");

	*uri = NULL;
	*name = after(target, "libvirt:");
	if (*name || !rest || !strchr(rest, ':'))
		return *name;
	*name = strrchr(rest, ':') + 1;
	*uri = strndup(rest, (size_t)(*name - 1 - rest));
	return *uri;
}

static int open_libvirt(const char *target, const struct vp_qemu_config *cfg, struct vp_qemu **out,
			struct vp_err *err)
{
	const char *name;
	char *uri;
	int rc = vp_remote_libvirt(target, &uri, &name)
			 ? vp_qemu_open_libvirt(uri, name, cfg, out, err)
			 : vp_err_set(err, -ENOMEM, "out of memory");

	free(uri);
	return rc;
}

static int open_qemu(const char *target, struct vp_qemu_config *cfg, struct vp_qemu **out,
		     struct vp_err *err)
{
	int rc = vp_remote_check(target, err);

	if (rc)
		return rc;
	if (after(target, "libvirt"))
		return open_libvirt(target, cfg, out, err);
	cfg->gdb_path = after(target, "qemu+gdb:");
	cfg->qmp_path = after(target, "qemu+qmp:");
	return vp_qemu_open(cfg, out, err);
}

/* --- life -------------------------------------------------------------------- */

static int name_ledger(struct vp_remote *r, const char *identity, struct vp_err *err)
{
	char path[PATH_MAX];
	int rc = vp_ledger_path_of(r->cfg.state_dir, identity, path, sizeof(path), err);

	if (rc)
		return rc;
	r->ledger = strdup(path);
	return r->ledger ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
}

static int make_control(struct vp_remote *r, struct vp_target *target, const char *identity,
			const char *process, struct vp_err *err)
{
	struct vp_control_config control = {
		.target = target,
		.kernel_file = r->cfg.kernel_file,
		.keyrings = { .own = r->cfg.keyring },
		.strategy = VP_STRATEGY_STOP,
		.short_lived = true,
		.host = r,
		.event = pass_event,
	};
	int rc = name_ledger(r, identity, err);

	if (!rc)
		rc = vp_engine_new(target, &r->engine, err);
	snprintf(control.process, sizeof(control.process), "%s", process);
	control.engine = r->engine;
	control.ledger = r->ledger;
	return rc ? rc : vp_control_new(&control, &r->control, err);
}

static void drop_control(struct vp_remote *r)
{
	vp_control_free(r->control);
	vp_engine_free(r->engine);
	free(r->ledger);
	r->control = NULL;
	r->engine = NULL;
	r->ledger = NULL;
}

/*
 * The call that it had been stopped for: what came back of it may be memory. A ledger that cannot
 * be written does not keep the VM stopped.
 */
static int take_down(void *arg, const struct vp_call_recovered *call, struct vp_err *err)
{
	struct vp_remote *r = arg;
	int rc = vp_control_call_recovered(r->control, call, err);

	if (rc && !r->done.unwritten) {
		r->done.unwritten = rc;
		vp_err_set(&r->done.why, rc, "%s", err->text);
	}
	return 0;
}

/* A VM was left stopped: put half a batch right before it runs again. */
static int repair(void *arg, struct vp_target *target, const char *identity, const char *process,
		  struct vp_err *err)
{
	struct vp_remote *r = arg;
	struct vp_call_recovered call;
	int rc = make_control(r, target, identity, process, err);

	if (!rc)
		rc = vp_call_recover(target, 0, take_down, r, &call, err);
	if (!rc)
		rc = vp_control_recover(r->control, r->cfg.recover, &r->done, err);
	drop_control(r);
	r->recovered = !rc;
	return rc;
}

/* The VM runs, but half a batch may stand in it all the same, if somebody let it go on. */
static int put_right(struct vp_remote *r, const char *interrupted, struct vp_err *err)
{
	int rc;

	if (r->cfg.recover) {
		rc = vp_control_recover(r->control, r->cfg.recover, &r->done, err);
		return rc ? rc : vp_control_recover_hotfixes(r->control, &r->done, err);
	}
	/* who only looks may do so all the same */
	if (*interrupted)
		vp_control_interrupted(r->control, interrupted);
	else
		vp_control_check(r->control, NULL);
	return 0;
}

int vp_remote_open(const char *target, const struct vp_remote_config *cfg, struct vp_remote **out,
		   struct vp_err *err)
{
	struct vp_remote *r = calloc(1, sizeof(*r));
	struct vp_qemu_config qemu = {
		.state_dir = cfg->state_dir,
		.name = target,
		.keeper = VP_KEEPER,
		.timeout_ms = cfg->timeout_ms,
		.repair = cfg->recover ? repair : NULL,
		.repair_arg = r,
	};
	struct vp_qemu_info info = { 0 };
	struct vp_err why = { "" };
	struct vp_linux *kernel;
	int rc;

	if (!r)
		return vp_err_set(err, -ENOMEM, "out of memory");
	r->cfg = *cfg;
	rc = open_qemu(target, &qemu, &r->qemu, err);
	if (!rc)
		rc = vp_qemu_describe(r->qemu, &info, err);
	if (!rc)
		rc = make_control(r, vp_qemu_target(r->qemu), info.identity, info.process, err);
	if (!rc && cfg->kernel_file) /* whatever the command needs, it must be that kernel */
		rc = vp_control_linux(r->control, &kernel, err);
	if (!rc && !*info.confidential) /* else nothing of ours was ever in it */
		rc = put_right(r, info.interrupted, err);
	if (!rc) {
		*out = r;
		return 0;
	}
	/* Whatever it failed for: the VM may stand still. */
	return vp_remote_close(r, &why) ? vp_err_set(err, -EUCLEAN, "%s", why.text) : rc;
}

int vp_remote_close(struct vp_remote *r, struct vp_err *err)
{
	int rc;

	if (!r)
		return 0;
	drop_control(r);
	rc = vp_qemu_close(r->qemu, err);
	free(r);
	return rc;
}

bool vp_remote_recovered(const struct vp_remote *r, struct vp_recovered *out)
{
	*out = r->done;
	return r->recovered;
}

const char *vp_remote_attention(const struct vp_remote *r)
{
	return vp_control_attention(r->control);
}

/* --- commands of the host ----------------------------------------------------- */

static int describe(void *control, const json_t *args, struct vp_qemu_info *info, int *code,
		    struct vp_err *err)
{
	struct vp_remote *r = vp_control_host(control);

	if (vp_args_none(args, code, err))
		*code = vp_qemu_describe(r->qemu, info, err);
	return *code;
}

static json_t *query_status(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_qemu_info info = { 0 };

	(void)fd;
	if (describe(arg, args, &info, code, err))
		return NULL;
	return json_pack("{s:b, s:o}", "running", info.state == VP_QEMU_RUNNING, "status",
			 vp_qmp_text(info.state_text));
}

static json_t *query_cpus(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_qemu_info info = { 0 };
	json_t *list;

	(void)fd;
	if (describe(arg, args, &info, code, err))
		return NULL;
	list = json_array();
	for (unsigned int i = 0; i < info.vcpus; i++)
		json_array_append_new(list, json_pack("{s:i}", "cpu-index", (int)i));
	return list;
}

/* How often, and how long at most, the VM stood still for whoever opened it. */
static void describe_pauses(void *control, json_t *ret)
{
	struct vp_remote *r = vp_control_host(control);
	struct vp_target *t = vp_qemu_target(r->qemu);
	struct vp_pauses pauses = { 0 };

	if (!t->ops->pauses)
		return;
	t->ops->pauses(t, &pauses);
	json_object_set_new(ret, "pauses", json_integer(pauses.n));
	json_object_set_new(ret, "longest-pause-us", json_integer(pauses.longest_us));
}

static json_t *query_vm(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_qemu_info info = { 0 };
	json_t *ret;

	(void)fd;
	if (describe(arg, args, &info, code, err))
		return NULL;
	ret = json_pack("{s:o, s:o, s:o, s:o, s:s, s:i, s:s, s:[s]}", "name",
			vp_qmp_text(info.name), "identity", vp_qmp_text(info.identity), "state",
			vp_qmp_text(info.state_text), "qemu", vp_qmp_text(info.version), "accel",
			info.accel, "vcpus", (int)info.vcpus, "trap-route", "none", "strategies",
			vp_strategy_name(VP_STRATEGY_STOP));
	describe_pauses(arg, ret);
	if (*info.confidential) { /* no strategy gets past that */
		json_object_set_new(ret, "confidential", vp_qmp_text(info.confidential));
		json_object_set_new(ret, "strategies", json_array());
	}
	if (*info.process) /* PID-START-... */
		json_object_set_new(ret, "pid", json_integer(strtol(info.process, NULL, 10)));
	if (*info.pinning)
		json_object_set_new(ret, "pinning", vp_qmp_text(info.pinning));
	vp_control_describe(arg, ret);
	return ret;
}

/* What a batch holds the VM for, without a batch: for who wants to know how long that takes. */
static json_t *stop_and_go_on(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_remote *r = vp_control_host(arg);
	struct vp_target *t = vp_qemu_target(r->qemu);

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	*code = t->ops->lock(t, err);
	if (*code)
		return NULL;
	*code = t->ops->stop(t, VP_TIMEOUT_MS, err);
	if (!*code)
		t->ops->resume(t);
	t->ops->unlock(t);
	return *code ? NULL : json_object();
}

static const struct vp_qmp_command host_commands[] = {
	{ "query-status", query_status, VP_QMP_IN_TURN },
	{ "query-cpus-fast", query_cpus, VP_QMP_IN_TURN },
	{ "query-vm", query_vm, VP_QMP_IN_TURN },
	{ "stop-and-go-on", stop_and_go_on, VP_QMP_IN_TURN },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

static const struct vp_qmp_command *find(const struct vp_qmp_command *list, const char *name)
{
	while (list->name && strcmp(list->name, name))
		list++;
	return list->name ? list : NULL;
}

int vp_remote_call(struct vp_remote *r, const char *command, json_t *args, json_t **ret,
		   struct vp_err *err)
{
	const struct vp_qmp_command *cmd = find(vp_control_commands, command);
	int fd = -1, code = 0;
	json_t *answer;

	if (!cmd)
		cmd = find(host_commands, command);
	if (!args)
		return vp_err_set(err, -EINVAL, "arguments that are not UTF-8 text");
	if (!cmd) {
		json_decref(args);
		return vp_err_set(err, -EOPNOTSUPP,
				  "%s works on VMs of `vmpoke run` only: use QEMU's or libvirt's "
				  "own command",
				  command);
	}
	answer = cmd->fn(r->control, args, &fd, &code, err);
	json_decref(args);
	if (ret)
		*ret = answer;
	else
		json_decref(answer);
	return code;
}
