/* SPDX-License-Identifier: Apache-2.0 */
/* A site as people write it, made into what the control socket wants. */
#ifndef VP_CLI_POKE_SITE_H
#define VP_CLI_POKE_SITE_H

#include <vmpoke/symbol.h>

#include "cli/client.h"

/* As given on the command line or in a batch file. NULL: not given. */
struct vp_poke_text {
	const char *where, *old_hex, *new_text, *resume, *fixup;
};

/* Who knows the symbols: a file, or (NULL) the target. */
struct vp_poke_names {
	struct vp_client *client;
	const struct vp_symtab *symbols;
};

/* The site as an element of the "sites" of command poke. Says what is wrong; an exit code. */
int vp_poke_site_json(struct vp_poke_names *names, const struct vp_poke_text *text, json_t **out);

/*
 * Append the sites of a batch file, @len bytes of JSON, to @list; @what names the file. Says what
 * is wrong; an exit code.
 */
int vp_poke_batch_json(struct vp_poke_names *names, const char *what, const char *text, size_t len,
		       json_t *list);

#endif /* VP_CLI_POKE_SITE_H */
