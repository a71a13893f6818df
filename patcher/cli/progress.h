/* SPDX-License-Identifier: Apache-2.0 */
/* How far long work is: one line on a terminal that is written over, and gone in the end. */
#ifndef VP_CLI_PROGRESS_H
#define VP_CLI_PROGRESS_H

#include <vmpoke/types.h>

/*
 * @done of @total steps of @what are done, as struct vp_listener has it. Shown once it has taken a
 * second, with an estimate of what is left; on a terminal only.
 */
void vp_progress_show(const char *what, uint64_t done, uint64_t total);

/* Before anything else is printed: away with it. */
void vp_progress_wipe(void);

#endif /* VP_CLI_PROGRESS_H */
