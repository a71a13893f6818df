/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VP_CONTROL_LEDGER_INTERNAL_H
#define VP_CONTROL_LEDGER_INTERNAL_H

#include "control/ledger.h"

struct vp_ledger {
	char *path;
	int fd;
	off_t end;	 /* where the next line goes */
	json_t *lines;	 /* all that the file holds */
	long long seq;	 /* of the last line */
	long long begun; /* "seq" of the batch in hand */
};

/* ledger.c. alloc: with no file open; NULL: no memory. load: all lines of the open file. */
struct vp_ledger *vp_ledger_alloc(const char *path);
int vp_ledger_load(struct vp_ledger *l, struct vp_err *err);

/* Append a line (stolen) and wait until it is on disk. */
int vp_ledger_append(struct vp_ledger *l, json_t *line, struct vp_err *err);

#endif /* VP_CONTROL_LEDGER_INTERNAL_H */
