/* SPDX-License-Identifier: Apache-2.0 */
#include "target/monitor_ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/hmp.h"

/* A QMP query without arguments; its answer is an object. */
static int query(struct vp_monitor *m, const char *command, json_t **ret, struct vp_err *err)
{
	int rc = m->ops->execute(m, command, json_object(), -1, ret, err);

	if (rc || json_is_object(*ret))
		return rc;
	json_decref(*ret);
	*ret = NULL;
	return vp_err_set(err, -EPROTO, "QMP %s: the answer is no object", command);
}

static int odd(const char *command, struct vp_err *err)
{
	return vp_err_set(err, -EPROTO, "QMP %s: vmpoke does not know this answer", command);
}

/* A word of a QMP enumeration. */
static bool take_word(const char *value, char *out, size_t size)
{
	if (!value || !*value ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(value) ||
	    strlen(value) >= size)
		return false;
	strcpy(out, value);
	return true;
}

/* --- how it is ------------------------------------------------------------------ */

static int take_status(json_t *ret, struct vp_runstate *s, struct vp_err *err)
{
	const char *name = NULL;
	int running = 0;

	if (json_unpack(ret, "{s:s, s:b}", "status", &name, "running", &running) ||
	    !take_word(name, s->name, sizeof(s->name)))
		return odd("query-status", err);
	s->running = running;
	return 0;
}

static int query_status(struct vp_monitor *m, struct vp_runstate *s, struct vp_err *err)
{
	json_t *ret = NULL;
	int rc = query(m, "query-status", &ret, err);

	if (!rc)
		rc = take_status(ret, s, err);
	json_decref(ret);
	return rc;
}

static int print_status(struct vp_monitor *m, struct vp_runstate *s, struct vp_err *err)
{
	char *text = NULL;
	int rc = m->ops->hmp(m, "info status", &text, err);

	if (!rc)
		rc = vp_hmp_status(text, s->name, sizeof(s->name), &s->running, err);
	free(text);
	return rc;
}

/* What its name and @running mean. */
static void judge_state(struct vp_runstate *s)
{
	s->paused = !s->running && (!strcmp(s->name, "paused") || !strcmp(s->name, "debug"));
	if (s->running || !strcmp(s->name, "paused"))
		snprintf(s->text, sizeof(s->text), "%s", s->name);
	else
		snprintf(s->text, sizeof(s->text), "paused (%s)", s->name);
}

int vp_runstate_of(const char *status, struct vp_runstate *state, struct vp_err *err)
{
	struct vp_runstate s = { 0 };
	int rc = vp_hmp_status(status, s.name, sizeof(s.name), &s.running, err);

	if (rc)
		return rc;
	judge_state(&s);
	*state = s;
	return 0;
}

int vp_ask_runstate(struct vp_monitor *m, struct vp_runstate *state, struct vp_err *err)
{
	struct vp_runstate s = { 0 };
	int rc = m->ops->execute ? query_status(m, &s, err) : print_status(m, &s, err);

	if (rc)
		return rc;
	judge_state(&s);
	*state = s;
	return 0;
}

static int take_migration(json_t *ret, char *status, size_t size, struct vp_err *err)
{
	json_t *value = json_object_get(ret, "status"); /* absent: none since QEMU began */

	if (!json_is_object(ret) || (value && !take_word(json_string_value(value), status, size)))
		return odd("query-migrate", err);
	if (!value)
		snprintf(status, size, "none");
	return 0;
}

static int query_migrate(struct vp_monitor *m, char *status, size_t size, struct vp_err *err)
{
	json_t *ret = NULL;
	int rc = query(m, "query-migrate", &ret, err);

	if (!rc)
		rc = take_migration(ret, status, size, err);
	json_decref(ret);
	return rc;
}

static int print_migrate(struct vp_monitor *m, char *status, size_t size, struct vp_err *err)
{
	char *text = NULL;
	int rc = m->ops->hmp(m, "info migrate", &text, err);

	if (!rc)
		rc = vp_hmp_migration(text, status, size, err);
	free(text);
	return rc;
}

static void judge_migration(struct vp_migration *migration)
{
	static const char *const over[] = { "none", "completed", "failed", "cancelled" };

	migration->under_way = true;
	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++)
		if (!strcmp(migration->status, over[i]))
			migration->under_way = false;
}

int vp_migration_of(const char *migrate, struct vp_migration *migration, struct vp_err *err)
{
	int rc = vp_hmp_migration(migrate, migration->status, sizeof(migration->status), err);

	if (rc)
		migration->under_way = true;
	else
		judge_migration(migration);
	return rc;
}

int vp_ask_migration(struct vp_monitor *m, struct vp_migration *migration, struct vp_err *err)
{
	char *status = migration->status;
	int rc = m->ops->execute ? query_migrate(m, status, sizeof(migration->status), err)
				 : print_migrate(m, status, sizeof(migration->status), err);

	if (rc)
		migration->under_way = true;
	else
		judge_migration(migration);
	return rc;
}

int vp_ask_now(struct vp_monitor *m, struct vp_now *out, struct vp_err *err)
{
	static const char *const commands[] = { "query-status", "query-migrate" };
	struct vp_now now = { .state.running = false };
	json_t *ret[2] = { NULL };
	int rc;

	if (!m->ops->query)
		return vp_err_set(err, -EOPNOTSUPP, "only one question can be asked at a time");
	rc = m->ops->query(m, commands, 2, ret, err);
	if (!rc)
		rc = take_status(ret[0], &now.state, err);
	if (!rc)
		rc = take_migration(ret[1], now.migration.status, sizeof(now.migration.status),
				    err);
	json_decref(ret[0]);
	json_decref(ret[1]);
	if (rc)
		return rc;
	judge_state(&now.state);
	judge_migration(&now.migration);
	*out = now;
	return 0;
}

/* --- what it is ----------------------------------------------------------------- */

static int print_value(struct vp_monitor *m, const char *command, char *out, size_t size,
		       struct vp_err *err)
{
	char *text = NULL;
	int rc = m->ops->hmp(m, command, &text, err);

	if (!rc)
		rc = vp_hmp_value(command, text, out, size, err);
	free(text);
	return rc;
}

static int query_version(struct vp_monitor *m, char *text, size_t size, struct vp_err *err)
{
	const char *package = NULL;
	int major, minor, micro, rc;
	json_t *ret = NULL;
	char line[96];

	rc = query(m, "query-version", &ret, err);
	if (rc)
		return rc;
	if (json_unpack(ret, "{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", &major, "minor", &minor,
			"micro", &micro, "package", &package))
		rc = odd("query-version", err);
	else {
		snprintf(line, sizeof(line), "%d.%d.%d%s%s", major, minor, micro,
			 *package ? " " : "", package);
		vp_hmp_line(line, text, size);
	}
	json_decref(ret);
	return rc;
}

int vp_ask_version(struct vp_monitor *m, char *text, size_t size, unsigned int *number,
		   struct vp_err *err)
{
	int rc = m->ops->execute ? query_version(m, text, size, err)
				 : print_value(m, "info version", text, size, err);

	if (rc)
		return rc;
	if (!vp_hmp_version(text))
		return vp_err_set(err, -EPROTO, "QEMU's version makes no sense: '%.40s'", text);
	if (number)
		*number = vp_hmp_version(text);
	return 0;
}

int vp_ask_name(struct vp_monitor *m, char *name, size_t size, struct vp_err *err)
{
	json_t *ret = NULL, *value;
	int rc;

	if (!m->ops->execute)
		return print_value(m, "info name", name, size, err);
	rc = query(m, "query-name", &ret, err);
	if (rc)
		return rc;
	value = json_object_get(ret, "name"); /* absent: it has none */
	if (value && !json_is_string(value))
		rc = odd("query-name", err);
	else
		vp_hmp_line(value ? json_string_value(value) : "", name, size);
	json_decref(ret);
	return rc;
}

int vp_ask_uuid(struct vp_monitor *m, char *uuid, size_t size, struct vp_err *err)
{
	const char *value = NULL;
	json_t *ret = NULL;
	int rc = 0;

	if (!m->ops->execute) {
		rc = print_value(m, "info uuid", uuid, size, err);
	} else {
		rc = query(m, "query-uuid", &ret, err);
		if (!rc && json_unpack(ret, "{s:s}", "UUID", &value))
			rc = odd("query-uuid", err);
		else if (!rc)
			vp_hmp_line(value, uuid, size);
		json_decref(ret);
	}
	if (!rc && (strlen(uuid) != 36 || strspn(uuid, "0123456789abcdefABCDEF-") != 36))
		rc = vp_err_set(err, -EPROTO, "QEMU shows no UUID: '%.40s'", uuid);
	return rc;
}

/* QEMU 10.2 and later name the accelerator; before, what is not KVM is TCG where there is a stub.
 */
static int query_accel(struct vp_monitor *m, unsigned int version, char *accel, size_t size,
		       struct vp_err *err)
{
	const char *name = NULL;
	json_t *ret = NULL;
	int enabled = 0;
	int rc = version < 1000 ? -ENOSYS : query(m, "query-accelerators", &ret, err);

	if (!rc) {
		if (json_unpack(ret, "{s:s}", "enabled", &name) || !take_word(name, accel, size))
			rc = odd("query-accelerators", err);
	} else if (rc == -ENOSYS) {
		rc = query(m, "query-kvm", &ret, err);
		if (!rc && json_unpack(ret, "{s:b}", "enabled", &enabled))
			rc = odd("query-kvm", err);
		else if (!rc)
			snprintf(accel, size, "%s", enabled ? "kvm" : "tcg");
	}
	json_decref(ret);
	return rc;
}

int vp_ask_accel(struct vp_monitor *m, unsigned int version, char *accel, size_t size,
		 struct vp_err *err)
{
	bool enabled = false;
	char *text = NULL;
	int rc;

	if (m->ops->execute)
		return query_accel(m, version, accel, size, err);
	rc = m->ops->hmp(m, "info kvm", &text, err);
	if (!rc)
		rc = vp_hmp_kvm(text, &enabled, err);
	if (!rc)
		snprintf(accel, size, "%s", enabled ? "kvm" : "tcg");
	free(text);
	return rc;
}

int vp_ask_vcpus(struct vp_monitor *m, unsigned int *n, struct vp_err *err)
{
	json_t *ret = NULL;
	char *text = NULL;
	int rc;

	if (!m->ops->execute) {
		rc = m->ops->hmp(m, "info cpus", &text, err);
		if (!rc)
			rc = vp_hmp_cpus(text, n, err);
		free(text);
		return rc;
	}
	rc = m->ops->execute(m, "query-cpus-fast", json_object(), -1, &ret, err);
	if (!rc && !json_array_size(ret)) /* 0 of what is no array, too */
		rc = odd("query-cpus-fast", err);
	*n = rc ? 0 : (unsigned int)json_array_size(ret);
	json_decref(ret);
	return rc;
}

/* --- confidential guests --------------------------------------------------------- */

/* A property that is a string, or a link, which is shown as its path. */
static int get_property(struct vp_monitor *m, const char *path, const char *name, char *value,
			size_t size, struct vp_err *err)
{
	char command[160], *text = NULL;
	json_t *ret = NULL;
	int rc;

	if (!m->ops->execute) {
		snprintf(command, sizeof(command), "qom-get %.100s %.40s", path, name);
		rc = m->ops->hmp(m, command, &text, err);
		if (!rc)
			rc = vp_hmp_string(text, value, size, err);
		free(text);
		return rc;
	}
	rc = m->ops->execute(m, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", name),
			     -1, &ret, err);
	if (!rc && (!json_is_string(ret) || json_string_length(ret) >= size))
		rc = odd("qom-get", err);
	else if (!rc)
		strcpy(value, json_string_value(ret));
	json_decref(ret);
	return rc;
}

#define SEV_POLICY_ES 4 /* AMD's SEV API specification, "Guest policy" */

/* query-sev tells SEV from SEV-ES, and of a machine that was told in another way. */
static int query_sev(struct vp_monitor *m, char *kind, size_t size, struct vp_err *err)
{
	const char *type = "sev";
	json_int_t policy = 0;
	json_t *ret = NULL;
	int enabled = 0, rc = query(m, "query-sev", &ret, err);

	/*
	 * This QEMU has no SEV: it does not know the command, or says so by an error of its own.
	 * Of a machine without it QEMU answers "enabled": false. What libvirt fails at is neither.
	 */
	if (rc == -ENOSYS || rc == -EIO)
		return 0;
	if (rc)
		return rc;
	if (json_unpack(ret, "{s:b, s?I, s?s}", "enabled", &enabled, "policy", &policy, "sev-type",
			&type))
		rc = odd("query-sev", err);
	else if (enabled)
		snprintf(kind, size, "%s",
			 !strcmp(type, "sev-snp") ? "SEV-SNP"
			 : policy & SEV_POLICY_ES ? "SEV-ES"
						  : "SEV");
	json_decref(ret);
	return rc;
}

int vp_ask_confidential(struct vp_monitor *m, char *kind, size_t size, struct vp_err *err)
{
	static const struct {
		const char *type, *kind;
	} known[] = {
		{ "sev-guest", "SEV" },
		{ "sev-snp-guest", "SEV-SNP" },
		{ "tdx-guest", "TDX" },
	};
	char path[100], type[48];
	int rc = get_property(m, "/machine", "confidential-guest-support", path, sizeof(path), err);

	*kind = 0;
	if (!rc && *path) {
		rc = get_property(m, path, "type", type, sizeof(type), err);
		if (!rc)
			vp_hmp_line(type, kind, size);
		for (size_t i = 0; !rc && i < sizeof(known) / sizeof(known[0]); i++)
			if (!strcmp(type, known[i].type))
				snprintf(kind, size, "%s", known[i].kind);
	}
	return rc || !m->ops->execute ? rc : query_sev(m, kind, size, err);
}
