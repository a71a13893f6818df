/* SPDX-License-Identifier: Apache-2.0 */
#include "control/hotfix_file.h"

#include <errno.h>

#include "control/hotfix.h"
#include "linux/file.h"
#include "target/qmp_wire.h"

struct of_file {
	const char *path;
	struct vp_linux *l;
};

/* Opened once, when it is needed first. */
static int linux_of_file(void *arg, struct vp_linux **out, struct vp_err *err)
{
	struct of_file *f = arg;
	int rc = f->l ? 0 : vp_linux_open_file(f->path, &f->l, err);

	*out = f->l;
	return rc;
}

json_t *vp_hotfix_check_file(const char *kernel, const struct vp_hotfix_sent *sent,
			     const struct vp_keyrings *keyrings, int *code, struct vp_err *err)
{
	struct vp_hotfix_opened o = { 0 };
	struct vp_err refusal = { "" };
	struct vp_blockers untold = { 0 };
	struct of_file file = { .path = kernel };
	const struct vp_hotfix_opened_for opened_for = { linux_of_file, &file };
	struct vp_linux *l = NULL;
	json_t *json = NULL;

	*code = vp_hotfix_opened_read(&o, sent, keyrings, &opened_for, &refusal, err);
	if (!*code)
		*code = linux_of_file(&file, &l, err);
	if (!*code)
		*code = vp_hotfix_fit_open_file(l, o.object, &o.fit, &o.blockers, &untold, err);
	if (*code == -ENOEXEC && l && o.blockers.n) /* that it does not fit is an answer */
		*code = 0;
	if (refusal.text[0])
		vp_blockers_add(&o.blockers, "%s", refusal.text);
	if (!*code) {
		json = vp_hotfix_fit_json(&o);
		json_object_set_new(json, "kernel", vp_qmp_text(vp_linux_info(l)->release));
		json_object_set_new(json, "untold", vp_hotfix_texts_json(&untold));
	}
	vp_hotfix_opened_close(&o);
	vp_blockers_free(&untold);
	vp_linux_free(file.l);
	return json;
}
