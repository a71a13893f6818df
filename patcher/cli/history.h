/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger as a table for people. */
#ifndef VP_CLI_HISTORY_H
#define VP_CLI_HISTORY_H

#include <jansson.h>

/* Of the lines that query-ledger gives. */
void vp_history_print(const json_t *lines);

#endif /* VP_CLI_HISTORY_H */
