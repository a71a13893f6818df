/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of the VM, as of `vmpoke run`: the commands that every target has
 * (patcher/control/), each with an engine of its own, so that between two nothing of ours is in the
 * guest's way, and what is applied the ledger knows.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vmpoke/linux.h>

#include "control/control.h"
#include "control/ledger.h"
#include "control/paths.h"
#include "hotfix/call.h"
#include "preload/preload.h"
#include "target/local_internal.h"
#include "target/qmp_wire.h"

#define SETTLE_S 1

static struct {
	struct vp_preload_vm *vm;
	char name[128], uuid[64], path[256], ledger[512], keyring[PATH_MAX];
	struct vp_qmp_command *commands;
	struct vp_qmp_server *server;
	struct vp_linux *kernel; /* between two commands: what is known of the guest's */
	pthread_t serving, settling;
	pthread_mutex_t lock;
	pthread_cond_t change; /* of the next two */
	bool left;	       /* something could not be finished when it was asked for */
	bool ending;
	bool started;
	bool busy; /* a command has the engine; under the VM's engine_lock */
} s = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

/* --- commands of this host ------------------------------------------------------------ */

static json_t *query_version(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)fd;
	return vp_args_none(args, code, err) ? vp_qmp_version() : NULL;
}

static json_t *query_name(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)fd;
	return vp_args_none(args, code, err) ? json_pack("{s:o}", "name", vp_qmp_text(s.name))
					     : NULL;
}

/* A VMM that has paused its VM calls KVM_RUN for no vCPU. */
static bool runs(struct vp_preload_vm *vm)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	for (unsigned int i = 0; i < 10; i++) {
		for (unsigned int id = 0; id < VP_VCPU_MAX; id++)
			if (vm->vcpus[id] && atomic_load(&vm->vcpus[id]->inside) != VP_PRELOAD_OUT)
				return true;
		nanosleep(&nap, NULL);
	}
	return false;
}

static json_t *query_status(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	bool yes;

	(void)arg, (void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	yes = runs(s.vm);
	return json_pack("{s:b, s:s}", "running", yes, "status", yes ? "running" : "paused");
}

static json_t *query_cpus_fast(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err)
{
	json_t *list;

	(void)arg, (void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	list = json_array();
	pthread_mutex_lock(&s.vm->lock);
	for (unsigned int id = 0; id < VP_VCPU_MAX; id++)
		if (s.vm->vcpus[id] && s.vm->vcpus[id]->local)
			json_array_append_new(list, json_pack("{s:i}", "cpu-index", (int)id));
	pthread_mutex_unlock(&s.vm->lock);
	return list;
}

static json_t *query_vm(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	json_t *ret;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	ret = json_pack("{s:o, s:o, s:s, s:i, s:i, s:s, s:[s, s]}", "name", vp_qmp_text(s.name),
			"uuid", vp_qmp_text(s.uuid), "host", "preload", "pid", (int)getpid(),
			"vcpus", (int)vp_local_vcpu_count(s.vm->local), "trap-route",
			vp_route_name(s.vm->route), "strategies",
			vp_strategy_name(VP_STRATEGY_INT3), vp_strategy_name(VP_STRATEGY_STOP));
	vp_control_describe(arg, ret);
	return ret;
}

static const struct vp_qmp_command own_commands[] = {
	{ "query-version", query_version, VP_QMP_AT_ONCE },
	{ "query-name", query_name, VP_QMP_AT_ONCE },
	{ "query-status", query_status, VP_QMP_ASIDE },
	{ "query-cpus-fast", query_cpus_fast, VP_QMP_AT_ONCE },
	{ "query-vm", query_vm, VP_QMP_IN_TURN },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

/* --- around a command -------------------------------------------------------------------- */

static void send_event(void *host, const char *name, json_t *data)
{
	(void)host;
	vp_qmp_server_event(s.server, name, data);
}

static void who_asks(void *host, uid_t *uid, pid_t *pid)
{
	(void)host;
	vp_qmp_server_peer(uid, pid);
}

/* With engine_lock. One that a vCPU keeps waiting guards its sites until that vCPU answers. */
static int free_engine(struct vp_preload_vm *vm)
{
	int rc = vm->engine ? vp_engine_free(vm->engine) : 0;

	if (rc)
		return rc;
	vm->engine = NULL;
	atomic_store(&vm->active, vp_local_call_is_left(vm->local));
	return 0;
}

static int make_engine(struct vp_preload_vm *vm, struct vp_err *err)
{
	int rc;

	pthread_mutex_lock(&vm->engine_lock);
	rc = free_engine(vm);
	if (rc)
		vp_err_set(err, rc, "an earlier batch still waits for a vCPU; try again");
	else if (atomic_load(&vm->aside)) /* since: a vCPU may run that the target does not know */
		rc = vp_err_set(err, -EOPNOTSUPP, "the VM is left alone: %s", vm->why);
	else if (atomic_load(&vm->protector))
		rc = vp_err_set(err, -EBUSY,
				"a snapshot of the guest is taken in the background: try again "
				"when that is over");
	else if (!vp_local_has_signal(vm->local))
		rc = vp_err_set(err, -EBUSY, "the VMM has taken signal %d, which calls vCPUs out",
				vp_local_kick_signal(vm->local));
	else
		rc = vp_preload_activate(vm, err);
	if (!rc)
		rc = vp_engine_new(vp_local_target(vm->local), &vm->engine, err);
	s.busy = !rc;
	pthread_mutex_unlock(&vm->engine_lock);
	return rc;
}

static void drop_engine(struct vp_preload_vm *vm)
{
	bool left;

	pthread_mutex_lock(&vm->engine_lock);
	s.busy = false;
	left = free_engine(vm);
	pthread_mutex_unlock(&vm->engine_lock);
	left |= vp_local_call_is_left(vm->local);
	pthread_mutex_lock(&s.lock);
	s.left = left;
	pthread_cond_signal(&s.change);
	pthread_mutex_unlock(&s.lock);
}

static void *begin(void *arg, int *code, struct vp_err *err)
{
	struct vp_preload_vm *vm = arg;
	struct vp_control *control = NULL;
	struct vp_control_config cfg = {
		.target = vp_local_target(vm->local),
		.ledger = s.ledger,
		.strategy = VP_STRATEGY_INT3,
		.short_lived = true,
		.keyrings = { .own = *s.keyring ? s.keyring : NULL },
		.event = send_event,
		.who = who_asks,
	};
	struct vp_process self;

	*code = make_engine(vm, err);
	if (*code)
		return NULL;
	if (vp_process_find(getpid(), &self))
		memcpy(cfg.process, self.text, sizeof(cfg.process));
	cfg.engine = vm->engine;
	cfg.kernel = s.kernel;
	s.kernel = NULL;
	*code = vp_control_new(&cfg, &control, err);
	if (*code)
		drop_engine(vm);
	return control;
}

static void end(void *arg, void *control)
{
	s.kernel = vp_control_take_kernel(control);
	vp_control_free(control);
	drop_engine(arg);
}

static const struct vp_qmp_around around = { begin, end };

/* --- its threads ---------------------------------------------------------------------------- */

static void *serve(void *arg)
{
	vp_qmp_server_run(arg);
	return NULL;
}

/* What could not be finished is tried again, once a second; else it sleeps. */
static void *settle(void *arg)
{
	struct vp_preload_vm *vm = arg;
	bool left = false;

	pthread_mutex_lock(&s.lock);
	while (!s.ending) {
		struct timespec next;

		if (!s.left) {
			pthread_cond_wait(&s.change, &s.lock);
			continue;
		}
		clock_gettime(CLOCK_REALTIME, &next);
		next.tv_sec += SETTLE_S;
		pthread_cond_timedwait(&s.change, &s.lock, &next);
		left = s.left;
		pthread_mutex_unlock(&s.lock);
		pthread_mutex_lock(&vm->engine_lock);
		if (vp_local_call_is_left(vm->local))
			vp_call_take_back(vp_local_target(vm->local));
		if (!s.busy) /* else the command sees to it */
			left = free_engine(vm) || vp_local_call_is_left(vm->local);
		pthread_mutex_unlock(&vm->engine_lock);
		pthread_mutex_lock(&s.lock);
		s.left = left;
	}
	pthread_mutex_unlock(&s.lock);
	return NULL;
}

/* The VMM's signals are for its own threads. */
static int start_threads(struct vp_err *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s.settling, NULL, settle, s.vm);
	if (!rc)
		rc = pthread_create(&s.serving, NULL, serve, s.server);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? vp_err_set(err, -rc, "no thread for the control socket: %s", strerror(rc)) : 0;
}

static int choose_paths(struct vp_err *err)
{
	const char *given = getenv("VMPOKE_SOCKET");
	char state[256];
	int rc = given && *given ? vp_socket_path(given, false, s.path, sizeof(s.path), err)
				 : vp_socket_path(s.name, true, s.path, sizeof(s.path), err);

	if (!rc)
		rc = vp_state_dir(state, sizeof(state), err);
	return rc ? rc : vp_ledger_path_for(state, s.path, s.ledger, sizeof(s.ledger), err);
}

/* Of the VMM's user; one that is not there refuses all, and is left to do so. */
static void choose_keyring(void)
{
	const char *given = getenv("VMPOKE_KEYRING");

	if (given && *given && !realpath(given, s.keyring))
		snprintf(s.keyring, sizeof(s.keyring), "%s", given);
}

static int start(struct vp_preload_vm *vm, struct vp_err *err)
{
	int rc;

	s.vm = vm;
	choose_keyring();
	vp_preload_name(s.name, sizeof(s.name));
	vp_preload_uuid(s.uuid, sizeof(s.uuid));
	rc = choose_paths(err);
	s.commands = vp_control_commands_and(own_commands);
	if (!rc && !s.commands)
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = vp_qmp_server_new(s.path, s.commands, vm, &s.server, err);
	if (rc)
		return rc;
	vp_qmp_server_set_around(s.server, &around);
	return start_threads(err);
}

void vp_preload_serve(struct vp_preload_vm *vm)
{
	struct vp_err err;

	pthread_mutex_lock(&s.lock);
	if (!s.started) {
		s.started = true;
		if (start(vm, &err))
			vp_preload_step_aside(vm, "%s", err.text);
		else
			vp_preload_log("%s can be patched at %s, by serializer %s", s.name, s.path,
				       vp_local_target(vm->local)->serializer);
	}
	pthread_mutex_unlock(&s.lock);
}

void vp_preload_serve_no_more(void)
{
	pthread_mutex_lock(&s.lock);
	if (!s.server) {
		pthread_mutex_unlock(&s.lock);
		return;
	}
	s.ending = true;
	pthread_cond_signal(&s.change);
	pthread_mutex_unlock(&s.lock);
	vp_qmp_server_stop(s.server);
	pthread_join(s.serving, NULL);
	pthread_join(s.settling, NULL);
	vp_qmp_server_free(s.server);
	vp_linux_free(s.kernel);
	free(s.commands);
	s.kernel = NULL;
	s.server = NULL;
	s.commands = NULL;
	s.started = s.ending = s.left = false;
}

/* Its threads may be anywhere: no more than the name of the socket goes. */
void vp_preload_unlink(void)
{
	if (s.server)
		unlink(s.path);
}
