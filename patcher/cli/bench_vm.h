/* SPDX-License-Identifier: Apache-2.0 */
/* `vmpoke bench TARGET`: what commands cost a VM of the user's own, who wants it unharmed. */
#ifndef VP_CLI_BENCH_VM_H
#define VP_CLI_BENCH_VM_H

#include "cli/bench_doc.h"
#include "cli/poke_site.h"

struct vp_bench_vm_config {
	const char *target, *kernel;
	const char *key;	  /* switch it there and back, NULL: no key */
	struct vp_poke_text site; /* the same of a site; .where NULL: none */
	unsigned int runs;
};

/*
 * Without key and site nothing is written. A signal that ends us waits until all is as it was. The
 * figures go into the newest environment of @doc. An exit code; what is wrong was said.
 */
int vp_bench_vm(const struct vp_bench_vm_config *cfg, json_t *doc);

#endif /* VP_CLI_BENCH_VM_H */
