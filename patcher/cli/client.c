/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/preload.h"
#include "cli/progress.h"
#include "control/paths.h"
#include "elf/where.h"
#include "target/wait.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int vp_client_options(int argc, char **argv, const char *help, const char **target, bool *json)
{
	const struct vp_option options[] = { VP_FLAG("json", json), VP_TARGET(0), VP_OPTIONS_END };
	int code = vp_options_parse(argc, argv, help, options, 1, 1);

	*target = argv[optind];
	return code;
}

int vp_client_remote_config(const char *cmd, struct vp_remote_config *cfg)
{
	static char state[256]; /* for as long as the process runs */
	struct vp_err err;

	*cfg = (struct vp_remote_config){ .state_dir = state,
					  .keyring = vp_cmd_keyring(vp_common.keyring) };
	if (vp_cmd_timeout(&cfg->timeout_ms, &err))
		return vp_cmd_fail(cmd, VP_EXIT_USAGE, "%s", err.text);
	if (vp_state_dir(state, sizeof(state), &err))
		return vp_cmd_fail(cmd, VP_EXIT_HOST, "%s", err.text);
	return VP_EXIT_OK;
}

void vp_client_note(const struct vp_client *c)
{
	const char *text = c->remote ? vp_remote_attention(c->remote) : NULL;

	if (text)
		vp_common_note(c->cmd, "%s", text);
}

static int open_remote(struct vp_client *c, const char *target, unsigned int timeout_ms,
		       const char *kernel_file)
{
	struct vp_remote_config cfg;
	struct vp_err err;
	int rc, code = vp_client_remote_config(c->cmd, &cfg);

	if (!code && kernel_file && access(kernel_file, R_OK))
		code = vp_cmd_fail(c->cmd, VP_EXIT_FILE, "%s: %s", kernel_file, strerror(errno));
	if (code)
		return code;
	cfg.kernel_file = kernel_file;
	/* Callers allow for ten steps of a batch; here each answer has the limit. */
	if (timeout_ms > VP_CLIENT_TIMEOUT_MS)
		cfg.timeout_ms = (timeout_ms - VP_CLIENT_TIMEOUT_MS) / 10;
	if (vp_remote_check(target, &err))
		return vp_cmd_fail(c->cmd, VP_EXIT_USAGE, "%s", err.text);
	vp_memory_prepare();
	rc = vp_remote_open(target, &cfg, &c->remote, &err);
	vp_progress_wipe();
	if (rc == -ENOENT)
		return vp_client_no_domain(c->cmd, target, &err);
	if (rc)
		return vp_cmd_fail(c->cmd, vp_exit_code_of_open(rc), "%s", err.text);
	vp_client_note(c);
	return VP_EXIT_OK;
}

int vp_client_connect(const char *path, unsigned int timeout_ms, struct vp_qmp **out,
		      struct vp_err *err)
{
	int rc = vp_qmp_connect(path, timeout_ms, out, err);

	if (rc || vp_qmp_is_vmpoke(*out))
		return rc;
	vp_qmp_close(*out);
	*out = NULL;
	return vp_err_set(err, -EPROTO, "%.100s is the QMP socket of a QEMU: write qemu+qmp:%.100s",
			  path, path);
}

/* `vmpoke run ... &` may take this long to listen, which it does first of all. */
#define BEGUN_MS 1000
#define AGAIN_MS 10

/* To a guest by its name. One that was begun just now is not there yet. */
static int connect_by_name(const char *path, unsigned int timeout_ms, struct vp_qmp **out,
			   struct vp_err *err)
{
	const int64_t end = vp_now_ms() + BEGUN_MS;
	int rc;

	do {
		rc = vp_client_connect(path, timeout_ms, out, err);
	} while ((rc == -ENOENT || rc == -ECONNREFUSED) && vp_now_ms() < end &&
		 !poll(NULL, 0, AGAIN_MS));
	return rc;
}

/* Whoever answers there must be this very VM. */
int vp_client_connect_preload(const struct vp_preload_domain *d, unsigned int timeout_ms,
			      struct vp_qmp **out, struct vp_err *err)
{
	json_t *vm = NULL;
	int rc = vp_client_connect(d->socket, timeout_ms, out, err);

	if (rc)
		return rc;
	rc = vp_client_ask(*out, NULL, "query-vm", json_object(), &vm, err);
	if (!rc && strcmp(vp_client_text(vm, "uuid"), d->it.uuid) != 0)
		rc = vp_err_set(err, -EPROTO, "%.150s is the socket of another VM", d->socket);
	json_decref(vm);
	if (rc) {
		vp_qmp_close(*out);
		*out = NULL;
	}
	return rc;
}

/* By the library in its QEMU, if it is one of libvirt's that has it: the VM is not stopped then. */
static bool open_preload(struct vp_client *c, const char *target, unsigned int timeout_ms)
{
	struct vp_preload_domain d;
	struct vp_err err;

	/* What libvirt cannot say now it will say when it is asked for the VM. */
	if (vp_preload_look(target, 0, &d, &err) || !d.has_library || !d.it.runs)
		return false;
	if (vp_client_connect_preload(&d, timeout_ms, &c->qmp, &err)) {
		vp_common_note(c->cmd,
			       VP_PRELOAD_LIBRARY " does not answer (%s): by libvirt, with a stop",
			       err.text);
		return false;
	}
	vp_common_note(c->cmd, "by " VP_PRELOAD_LIBRARY " at %s: the VM is not stopped", d.socket);
	return true;
}

int vp_client_open_linux(struct vp_client *c, const char *cmd, const char *target,
			 unsigned int timeout_ms, const char *kernel_file)
{
	char path[256];
	struct vp_err err;

	*c = (struct vp_client){ .cmd = cmd };
	if (vp_remote_is(target) && !kernel_file && open_preload(c, target, timeout_ms))
		return VP_EXIT_OK;
	if (vp_remote_is(target))
		return open_remote(c, target, timeout_ms, kernel_file);
	if (vp_client_check_form(cmd, target))
		return VP_EXIT_USAGE;
	if (kernel_file)
		return vp_cmd_fail(cmd, VP_EXIT_USAGE,
				   "--kernel goes with QEMU's and libvirt's guests: `vmpoke run` "
				   "knows its own kernel");
	if (vp_socket_path(target, false, path, sizeof(path), &err) ||
	    (strchr(target, '/') ? vp_client_connect : connect_by_name)(path, timeout_ms, &c->qmp,
									&err))
		return vp_client_no_target(cmd, target, &err);
	return VP_EXIT_OK;
}

int vp_client_open(struct vp_client *c, const char *cmd, const char *target,
		   unsigned int timeout_ms)
{
	return vp_client_open_linux(c, cmd, target, timeout_ms, NULL);
}

int vp_client_close(struct vp_client *c, int code)
{
	struct vp_err err;

	vp_qmp_close(c->qmp);
	c->qmp = NULL;
	/* Whatever became of the command: the guest may stand still. */
	if (vp_remote_close(c->remote, &err) && code != VP_EXIT_HALF)
		code = vp_cmd_fail(c->cmd, VP_EXIT_HALF, "%s", err.text);
	c->remote = NULL;
	return code;
}

bool vp_client_is_broken(const struct vp_client *c)
{
	return c->qmp && vp_qmp_is_broken(c->qmp);
}

int vp_client_ask(struct vp_qmp *qmp, struct vp_remote *remote, const char *command, json_t *args,
		  json_t **ret, struct vp_err *err)
{
	int rc = remote ? vp_remote_call(remote, command, args, ret, err)
			: vp_qmp_call(qmp, command, args, ret, NULL, err);

	vp_progress_wipe();
	if (!rc && ret && vp_qmp_clean(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	}
	return rc;
}

int vp_client_try(struct vp_client *c, const char *command, json_t *args, json_t **ret, int *rc,
		  struct vp_err *err)
{
	*rc = vp_client_ask(c->qmp, c->remote, command, args, ret, err);
	if (c->remote)
		return vp_exit_code(*rc);
	if (*rc && vp_qmp_is_broken(c->qmp))
		return vp_cmd_fail(c->cmd, VP_EXIT_UNREACHABLE, "%s", err->text);
	if (*rc == -ENOSYS) {
		vp_err_set(err, 0,
			   "who serves this VM does not have that: use its VMM's own command "
			   "(QEMU's, libvirt's)");
		return VP_EXIT_REFUSED;
	}
	return vp_exit_code(*rc);
}

int vp_client_call(struct vp_client *c, const char *command, json_t *args, json_t **ret)
{
	struct vp_err err;
	int rc, code = vp_client_try(c, command, args, ret, &rc, &err);

	return code && !vp_client_is_broken(c) ? vp_cmd_fail(c->cmd, code, "%s", err.text) : code;
}

int vp_client_pokes(struct vp_client *c, json_t *args, json_t **pokes, struct vp_err *why)
{
	int rc, code;

	why->text[0] = 0;
	code = vp_client_try(c, "query-pokes", args, pokes, &rc, why);
	return vp_client_is_broken(c) ? code : VP_EXIT_OK;
}

void vp_client_tell_revert(const char *target, const json_t *ret)
{
	vp_common_hint("  to take it back: vmpoke revert %s %lld\n", target,
		       vp_client_int(ret, "id"));
}

size_t vp_client_recorded(const json_t *pokes)
{
	const json_t *poke;
	size_t i, n = 0;

	json_array_foreach(pokes, i, poke) n += !json_is_false(json_object_get(poke, "recorded"));
	return n;
}

int vp_client_check_where(const char *cmd, const char *where)
{
	struct vp_where parts;
	struct vp_err err;

	return vp_where_split(where, &parts, &err) ? vp_cmd_fail(cmd, VP_EXIT_USAGE, "%s", err.text)
						   : VP_EXIT_OK;
}

static int resolve(struct vp_client *c, const char *where, bool insn, vp_gva *addr, json_t **info)
{
	json_t *ret = NULL;
	int code = vp_client_check_where(c->cmd, where);

	if (!code)
		code = vp_client_call(c, "resolve-symbol",
				      json_pack("{s:s, s:b}", "addr", where, "insn", (int)insn),
				      &ret);
	if (code)
		return code;
	*addr = vp_client_addr(ret, "addr");
	if (info)
		*info = json_incref(ret);
	json_decref(ret);
	return VP_EXIT_OK;
}

int vp_client_resolve(struct vp_client *c, const char *where, vp_gva *addr, json_t **info)
{
	return resolve(c, where, false, addr, info);
}

int vp_client_resolve_insn(struct vp_client *c, const char *where, vp_gva *addr)
{
	return resolve(c, where, true, addr, NULL);
}

const char *vp_client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

long long vp_client_int(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

vp_gva vp_client_addr(const json_t *object, const char *key)
{
	uint64_t addr = 0;

	vp_cmd_number(vp_client_text(object, key), 0, UINT64_MAX, &addr);
	return VP_GVA(addr);
}

const char *vp_client_where(const json_t *object, char *text, size_t size)
{
	long long offset = vp_client_int(object, "offset");
	const char *symbol = vp_client_text(object, "symbol");

	if (*symbol && offset)
		snprintf(text, size, "%s+0x%llx", symbol, offset);
	else
		snprintf(text, size, "%s", symbol);
	return text;
}

void vp_client_print(const json_t *json)
{
	json_dumpf(json, stdout, 0);
	putchar('\n');
}
