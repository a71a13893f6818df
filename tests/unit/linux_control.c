/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "linux_control.h"
#include "unit.h"

static int open_it(struct linux_control *r)
{
	const struct vp_control_config cfg = {
		.target = &r->g->target,
		.engine = r->engine,
		.ledger = r->path,
		.keyrings = { r->keyring, "/nonexistent" },
		.strategy = VP_STRATEGY_STOP,
		.short_lived = !r->lives,
	};

	return vp_control_new(&cfg, &r->control, NULL);
}

void linux_control_again(struct linux_control *r)
{
	vp_control_free(r->control);
	assert_int_equal(open_it(r), 0);
}

int linux_control_setup(void **state)
{
	struct linux_control *r = calloc(1, sizeof(*r));

	*state = r;
	strcpy(r->dir, "/tmp/vmpoke-unit-XXXXXX");
	if (!mkdtemp(r->dir))
		return -1;
	snprintf(r->path, sizeof(r->path), "%s/vm.jsonl", r->dir);
	snprintf(r->baseline, sizeof(r->baseline), "%s/vm.baseline.gz", r->dir);
	r->g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .modules = true });
	if (vp_engine_new(&r->g->target, &r->engine, NULL))
		return -1;
	return open_it(r);
}

static int remove_folder(const char *path)
{
	DIR *dir = opendir(path);

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	return rmdir(path);
}

int linux_control_teardown(void **state)
{
	struct linux_control *r = *state;
	int rc;

	vp_control_free(r->control);
	vp_engine_free(r->engine);
	lg_free(r->g);
	rc = remove_folder(r->dir);
	free(r);
	return rc;
}

const struct vp_qmp_command *linux_control_command(const char *name)
{
	const struct vp_qmp_command *c = vp_control_commands;

	while (strcmp(c->name, name))
		c++;
	return c;
}

json_t *linux_control_call(struct linux_control *r, const char *name, json_t *args, int want,
			   struct vp_err *err)
{
	int fd = -1, code = 0;
	json_t *ret;

	err->text[0] = '\0';
	ret = linux_control_command(name)->fn(r->control, args, &fd, &code, err);
	if (code != want)
		fail_msg("%s: %d, not %d: %s", name, code, want, err->text);
	json_decref(args);
	return ret;
}
