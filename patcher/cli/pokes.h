/* SPDX-License-Identifier: Apache-2.0 */
/* The applied pokes, as the commands that look show them. */
#ifndef VP_CLI_POKES_H
#define VP_CLI_POKES_H

#include "cli/client.h"

/*
 * What vp_client_pokes() gave, in full: a long answer has not the sites of all batches, which are
 * asked for one by one then. An exit code.
 */
int vp_pokes_complete(struct vp_client *c, json_t *pokes);

/* What the memory says of a site of theirs, in words. */
const char *vp_poke_standing(const json_t *site);

/* Is that as it should be: it stands, or a newer one stands over it? */
bool vp_poke_stands(const json_t *site);

/* Did a poke find its new bytes there? Then the rest of that sentence, and the end of its line. */
bool vp_poke_is_already(const json_t *ret);
void vp_poke_tell_already(const json_t *ret);

/* For people, behind what was taken back: how to have it again. @ret: of a revert. */
void vp_poke_tell_again(const char *target, const json_t *ret);

#endif /* VP_CLI_POKES_H */
