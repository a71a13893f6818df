/* SPDX-License-Identifier: Apache-2.0 */
/* What the completions of the shells ask: which words may stand here. */
#ifndef VP_CLI_COMPLETE_H
#define VP_CLI_COMPLETE_H

#include "cli/cmd.h"

/*
 * @words are those behind "vmpoke", the last one the word that is being typed, which may be empty.
 * Prints a line for each word that may stand there: the word, a tab, what it is; a line ":files" if
 * it is the name of a file. The words are those of the tables: nothing is kept twice. An exit code.
 */
int vp_complete(const struct vp_cmd *table, int nwords, char **words);

#endif /* VP_CLI_COMPLETE_H */
