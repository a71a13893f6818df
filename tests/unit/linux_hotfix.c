/* SPDX-License-Identifier: Apache-2.0 */
#include "linux_hotfix.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"

#define PAGE 0x1000u

void lg_put_hotfix(struct linux_guest *g, unsigned int i, const char *name, int64_t when,
		   const unsigned int *funcs, size_t n)
{
	struct vp_hotfix_label_function functions[LG_FUNCS];
	static char names[LG_FUNCS][32];
	uint8_t *text = lg_at(g, LG_HOTFIX(i)), *rodata = text + PAGE;
	struct vp_hotfix_label label = {
		.name = name,
		.version = "1",
		.description = "a test",
		.who = "me@here",
		.when = when,
		.areas = { { VP_GVA(LG_HOTFIX(i)), PAGE }, { VP_GVA(LG_HOTFIX(i) + PAGE), PAGE } },
		.functions = functions,
		.nfunctions = n,
	};
	size_t size;

	assert(i < LG_HOTFIXES && n <= LG_FUNCS);
	memset(functions, 0, sizeof(functions));
	for (size_t k = 0; k < n; k++) {
		struct vp_hotfix_label_function *f = &functions[k];

		snprintf(names[k], sizeof(names[k]), "filler_%u", LG_FUNC(funcs[k]) / 16);
		f->name = names[k];
		f->old = VP_GVA(g->text + LG_FUNC(funcs[k]));
		f->site = VP_GVA(g->text + LG_ENTRY(funcs[k]));
		f->replacement = VP_GVA(LG_HOTFIX(i) + LG_REPLACEMENT(k));
		memcpy(f->before, lg_image(g, LG_ENTRY(funcs[k])), 5);
	}
	memset(text, 0xcc, PAGE);
	memset(rodata, 0x5a, PAGE);
	size = vp_hotfix_label_size(&label);
	label.code = vp_digest(vp_digest(VP_DIGEST_INIT, text + size, PAGE - size), rodata, PAGE);
	assert(!vp_hotfix_label_write(&label, text, NULL));
}

void lg_redirect(struct linux_guest *g, unsigned int func, unsigned int i, unsigned int k)
{
	uint64_t site = g->text + LG_ENTRY(func);

	lg_put(g, LG_ENTRY(func), 0xe9, 1);
	lg_put(g, LG_ENTRY(func) + 1, LG_HOTFIX(i) + LG_REPLACEMENT(k) - (site + 5), 4);
}
