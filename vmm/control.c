/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's control socket: the table of commands, and those that look or pause. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "control/control.h"
#include "target/qmp_wire.h"
#include "vmm/control.h"
#include "vmm/internal.h"

#define PAUSE_TIMEOUT_MS 5000u
#define TIMEOUT_MAX_MS	 600000u

struct vp_vm_control {
	const struct vp_vm_control_config *cfg;
	struct vp_vm *vm;
	struct vp_control *control;	 /* the commands that every target has */
	struct vp_qmp_command *commands; /* those and ours */
	struct vp_qmp_server *server;
	pthread_t thread;
	bool serving; /* the thread was started */
	int ram_fd;   /* the RAM memfd, opened again for reading only: what clients get */
};

static json_t *query_version(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)fd;
	return vp_args_none(args, code, err) ? vp_qmp_version() : NULL;
}

static json_t *query_status(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	struct vp_vm_status st;
	const char *status = "running";

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	if (vp_vm_wait(c->vm, 0, &st))
		status = st.end == VP_VM_ERROR || st.end == VP_VM_TRIPLE_FAULT ? "internal-error"
									       : "shutdown";
	else if (vp_local_paused(vp_vm_local(c->vm)))
		status = "paused";
	return json_pack("{s:b, s:s}", "running", !strcmp(status, "running"), "status", status);
}

static json_t *query_name(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	return json_pack("{s:o}", "name", vp_qmp_text(vp_vm_name(c->vm)));
}

static json_t *query_cpus_fast(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	struct vp_vm_vcpu_info info[VP_VCPU_MAX];
	unsigned int i, n;
	char path[40];
	json_t *list;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	list = json_array();
	n = vp_vm_vcpus(c->vm, info, VP_VCPU_MAX);
	for (i = 0; i < n && i < VP_VCPU_MAX; i++) {
		snprintf(path, sizeof(path), "/machine/vcpu[%u]", info[i].id);
		json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:b}", "cpu-index",
						      (int)info[i].id, "qom-path", path,
						      "thread-id", info[i].thread_id, "target",
						      "x86_64", "halted", (int)info[i].halted));
	}
	return list;
}

/* What serializing has cost, in all and for each vCPU. */
static json_t *serializing(struct vp_local *local)
{
	struct vp_local_counts s;
	json_t *vcpus = json_array();

	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (!vp_local_vcpu_stats(local, i, &s))
			json_array_append_new(vcpus, json_pack("{s:i, s:I, s:I}", "cpu-index",
							       (int)i, "kicks", (json_int_t)s.kicks,
							       "stayed-out", (json_int_t)s.stayed));
	vp_local_stats(local, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "syncs", (json_int_t)s.syncs, "kicks",
			 (json_int_t)s.kicks, "membarriers", (json_int_t)s.barriers, "wake-ups",
			 (json_int_t)s.wakes, "stayed-out", (json_int_t)s.stayed, "vcpus", vcpus);
}

static json_t *query_vm(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	struct vp_local *local = vp_vm_local(c->vm);
	json_t *strategies, *ret;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	strategies = json_array();
	if (vp_vm_route(c->vm) != VP_ROUTE_NONE)
		json_array_append_new(strategies, json_string(vp_strategy_name(VP_STRATEGY_INT3)));
	json_array_append_new(strategies, json_string(vp_strategy_name(VP_STRATEGY_STOP)));
	ret = json_pack("{s:o, s:o, s:i, s:I, s:i, s:s, s:o, s:o}", "name",
			vp_qmp_text(vp_vm_name(c->vm)), "kernel", vp_qmp_text(c->vm->image_what),
			"pid", (int)getpid(), "ram", (json_int_t)vp_vm_ram_bytes(c->vm), "vcpus",
			(int)vp_local_vcpu_count(local), "trap-route",
			vp_route_name(vp_vm_route(c->vm)), "strategies", strategies, "serializing",
			serializing(local));
	vp_control_describe(c->control, ret);
	return ret;
}

static json_t *query_memory_map(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);

	if (!vp_args_none(args, code, err))
		return NULL;
	*fd = c->ram_fd;
	return json_pack("{s:[{s:o, s:I, s:i}]}", "slots", "gpa", vp_json_addr(0), "size",
			 (json_int_t)vp_vm_ram_bytes(c->vm), "fd-offset", 0);
}

static json_t *stop(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	struct vp_local *local = vp_vm_local(c->vm);
	bool was = vp_local_paused(local);

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	*code = vp_local_pause(local, PAUSE_TIMEOUT_MS, err);
	if (*code)
		return NULL;
	if (!was)
		vp_qmp_server_event(c->server, "STOP", NULL);
	return json_object();
}

static json_t *cont(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	struct vp_local *local = vp_vm_local(c->vm);

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	if (vp_local_paused(local)) {
		vp_local_cont(local);
		vp_qmp_server_event(c->server, "RESUME", NULL);
	}
	return json_object();
}

static json_t *quit(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	vp_vm_quit(c->vm);
	return json_object();
}

static json_t *vcpu_add(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	unsigned int id;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	*code = vp_vm_vcpu_add(c->vm, &id, err);
	return *code ? NULL : json_pack("{s:i}", "id", (int)id);
}

static json_t *vcpu_remove(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_vm_control *c = vp_control_host(arg);
	json_t *which, *timeout = NULL;
	uint64_t id = 0, timeout_ms = VP_TIMEOUT_MS;
	int force = 0;

	(void)fd;
	*code = vp_args_unpack(args, err, "{s:o, s?o, s?b}", "id", &which, "timeout", &timeout,
			       "force", &force);
	if (!*code)
		*code = vp_args_number(which, "id", 0, VP_VCPU_MAX - 1, &id, err);
	if (!*code)
		*code = vp_args_number(timeout, "timeout", 1, TIMEOUT_MAX_MS, &timeout_ms, err);
	if (!*code && !force && vp_local_paused(vp_vm_local(c->vm)))
		*code = vp_err_set(err, -EBUSY,
				   "the VM is paused, so the guest cannot give up a vCPU: cont it "
				   "first, or use --force");
	if (!*code)
		*code = vp_vm_vcpu_remove(c->vm, (unsigned int)id, (unsigned int)timeout_ms, force,
					  err);
	return *code ? NULL : json_object();
}

/* Those aside wait for the guest, or for the target's lock; what they touch has its own locks. */
static const struct vp_qmp_command vm_commands[] = {
	{ "query-version", query_version, VP_QMP_AT_ONCE },
	{ "query-status", query_status, VP_QMP_ASIDE },
	{ "query-name", query_name, VP_QMP_AT_ONCE },
	{ "query-cpus-fast", query_cpus_fast, VP_QMP_AT_ONCE },
	{ "query-vm", query_vm, VP_QMP_IN_TURN },
	{ "query-memory-map", query_memory_map, VP_QMP_AT_ONCE },
	{ "vcpu-add", vcpu_add, VP_QMP_ASIDE },
	{ "vcpu-remove", vcpu_remove, VP_QMP_ASIDE },
	{ "stop", stop, VP_QMP_IN_TURN },
	{ "cont", cont, VP_QMP_IN_TURN },
	{ "quit", quit, VP_QMP_ASIDE },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

static void *serve(void *arg)
{
	struct vp_vm_control *c = arg;

	vp_qmp_server_run(c->server);
	return NULL;
}

/* RAM for clients to read at memory speed. Writing it is the engine's business alone. */
static int open_ram_read_only(struct vp_vm *vm, struct vp_err *err)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", vp_vm_ram_fd(vm));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? vp_err_set(err, -errno, "%s: %s", path, strerror(errno)) : fd;
}

static void send_event(void *host, const char *name, json_t *data)
{
	struct vp_vm_control *c = host;

	vp_qmp_server_event(c->server, name, data);
}

static void who_asks(void *host, uid_t *uid, pid_t *pid)
{
	(void)host;
	vp_qmp_server_peer(uid, pid);
}

static int make_control(struct vp_vm_control *c, struct vp_err *err)
{
	const struct vp_symtab *symbols = vp_vm_symbols(c->vm);
	struct vp_process self;
	struct vp_control_config control = {
		.target = vp_local_target(vp_vm_local(c->vm)),
		.engine = vp_vm_engine(c->vm),
		.symbols = vp_symtab_count(symbols) ? symbols : NULL,
		.ledger = c->cfg->ledger,
		.keyrings = { .own = c->cfg->keyring },
		.strategy = VP_STRATEGY_INT3,
		.host = c,
		.event = send_event,
		.who = who_asks,
	};

	if (vp_process_find(getpid(), &self))
		memcpy(control.process, self.text, sizeof(control.process));
	/* A life of its own: nothing that was applied to an earlier VM of this name is there. */
	if (getrandom(&control.boot, sizeof(control.boot), 0) != sizeof(control.boot))
		return vp_err_set(err, -errno, "no random number: %s", strerror(errno));
	return vp_control_new(&control, &c->control, err);
}

static void control_free(struct vp_vm_control *c)
{
	vp_qmp_server_free(c->server);
	vp_control_free(c->control);
	free(c->commands);
	if (c->ram_fd >= 0)
		close(c->ram_fd);
	free(c);
}

int vp_vm_control_listen(const struct vp_vm_control_config *cfg, struct vp_vm_control **out,
			 struct vp_err *err)
{
	struct vp_vm_control *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return vp_err_set(err, -ENOMEM, "out of memory");
	c->cfg = cfg;
	c->ram_fd = -1;
	c->commands = vp_control_commands_and(vm_commands);
	ret = c->commands ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = vp_qmp_server_new(cfg->path, c->commands, NULL, &c->server, err);
	if (ret)
		control_free(c);
	else
		*out = c;
	return ret;
}

int vp_vm_control_attach(struct vp_vm_control *c, struct vp_vm *vm, struct vp_err *err)
{
	int ret;

	c->vm = vm;
	c->ram_fd = open_ram_read_only(vm, err);
	ret = c->ram_fd < 0 ? c->ram_fd : make_control(c, err);
	if (!ret)
		vp_qmp_server_set_arg(c->server, c->control);
	return ret;
}

int vp_vm_control_serve(struct vp_vm_control *c, struct vp_err *err)
{
	int ret = pthread_create(&c->thread, NULL, serve, c);

	if (ret)
		return vp_err_set(err, -ret, "thread of the control socket: %s", strerror(ret));
	c->serving = true;
	return 0;
}

static const char *shutdown_reason(enum vp_vm_end end)
{
	switch (end) {
	case VP_VM_GUEST_EXIT:
		return "guest-shutdown";
	case VP_VM_TRIPLE_FAULT:
		return "guest-panic";
	case VP_VM_ERROR:
		return "host-error";
	case VP_VM_POWER_OFF:
		return "guest-shutdown";
	case VP_VM_RESET:
		return "guest-reset";
	case VP_VM_RUNNING:
	case VP_VM_HOST_QUIT:
		break;
	}
	return "host-qmp-quit";
}

void vp_vm_control_stop(struct vp_vm_control *c, const struct vp_vm_status *st)
{
	bool guest = st->end != VP_VM_HOST_QUIT && st->end != VP_VM_ERROR;
	json_t *data =
		json_pack("{s:b, s:s}", "guest", (int)guest, "reason", shutdown_reason(st->end));

	if (st->end == VP_VM_GUEST_EXIT)
		json_object_set_new(data, "exit-code", json_integer(st->code));
	vp_qmp_server_event(c->server, "SHUTDOWN", data);
	vp_qmp_server_stop(c->server);
	if (c->serving)
		pthread_join(c->thread, NULL);
	control_free(c);
}
