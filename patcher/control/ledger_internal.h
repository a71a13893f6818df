/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VP_CONTROL_LEDGER_INTERNAL_H
#define VP_CONTROL_LEDGER_INTERNAL_H

#include "control/ledger.h"

struct vp_ledger {
	char *path;
	int fd;
	off_t end;	 /* where the next line goes */
	json_t *lines;	 /* all that the file holds */
	long long begun; /* "seq" of the batch in hand */
};

#endif /* VP_CONTROL_LEDGER_INTERNAL_H */
