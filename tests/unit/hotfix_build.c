/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix_build.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void hotfix_begin(struct hotfix_build *h)
{
	memset(h, 0, sizeof(*h));
	object_begin(&h->o);
	h->sec_info = object_section(&h->o, ".vmpoke.info", SHF_ALLOC, h->info, 0);
	h->sec_strings = object_section(&h->o, ".vmpoke.strings", SHF_ALLOC, h->strings, 0);
	h->sec_functions = object_section(&h->o, ".vmpoke.functions", SHF_ALLOC, h->functions, 0);
	h->sec_symbols = object_section(&h->o, ".vmpoke.symbols", SHF_ALLOC, h->symbols, 0);
	h->sec_calls = object_section(&h->o, ".vmpoke.calls", SHF_ALLOC, h->calls, 0);
	h->string_symbol = object_symbol(&h->o, "", STT_SECTION, h->sec_strings, 0, 0);
}

static size_t add_text(char *to, size_t size, size_t *len, const char *text)
{
	size_t at = *len, n = strlen(text) + 1;

	if (at + n > size)
		abort();
	memcpy(to + at, text, n);
	*len += n;
	return at;
}

void hotfix_info(struct hotfix_build *h, const char *text)
{
	add_text(h->info, sizeof(h->info), &h->info_len, text);
}

void hotfix_good_info(struct hotfix_build *h)
{
	hotfix_info(h, "format=1");
	hotfix_info(h, "name=fix");
	hotfix_info(h, "version=1");
	hotfix_info(h, "description=a fix");
	hotfix_info(h, "for=6.1");
}

static void point(struct hotfix_build *h, unsigned int section, size_t offset, const char *text)
{
	if (text)
		object_reloc(&h->o, section, offset, R_X86_64_64, h->string_symbol,
			     (int64_t)add_text(h->strings, sizeof(h->strings), &h->strings_len,
					       text));
}

struct vmpoke_function *hotfix_function(struct hotfix_build *h, const char *name,
					unsigned int symbol, int64_t offset)
{
	size_t at = h->nfunctions * sizeof(*h->functions);

	if (h->nfunctions == sizeof(h->functions) / sizeof(*h->functions))
		abort();
	point(h, h->sec_functions, at + offsetof(struct vmpoke_function, name), name);
	if (symbol)
		object_reloc(&h->o, h->sec_functions,
			     at + offsetof(struct vmpoke_function, replacement), R_X86_64_64,
			     symbol, offset);
	return &h->functions[h->nfunctions++];
}

void hotfix_function_where(struct hotfix_build *h, unsigned int which, const char *where,
			   unsigned int number)
{
	size_t last = h->nfunctions - 1;

	h->functions[last].which = which;
	h->functions[last].number = number;
	point(h, h->sec_functions,
	      last * sizeof(*h->functions) + offsetof(struct vmpoke_function, where), where);
}

void hotfix_symbol(struct hotfix_build *h, const char *name, unsigned int which, const char *where,
		   unsigned int number)
{
	size_t at = h->nsymbols * sizeof(*h->symbols);

	if (h->nsymbols == sizeof(h->symbols) / sizeof(*h->symbols))
		abort();
	point(h, h->sec_symbols, at + offsetof(struct vmpoke_symbol, name), name);
	point(h, h->sec_symbols, at + offsetof(struct vmpoke_symbol, where), where);
	h->symbols[h->nsymbols].which = which;
	h->symbols[h->nsymbols++].number = number;
}

struct vmpoke_call *hotfix_call(struct hotfix_build *h, unsigned int when, unsigned int symbol)
{
	size_t at = h->ncalls * sizeof(*h->calls);

	if (h->ncalls == sizeof(h->calls) / sizeof(*h->calls))
		abort();
	if (symbol)
		object_reloc(&h->o, h->sec_calls, at + offsetof(struct vmpoke_call, function),
			     R_X86_64_64, symbol, 0);
	h->calls[h->ncalls].when = when;
	h->calls[h->ncalls].order = 100 - h->ncalls; /* the last one first */
	return &h->calls[h->ncalls++];
}

struct vmpoke_use *hotfix_use(struct hotfix_build *h, const char *function, uint32_t type)
{
	if (h->nuses == sizeof(h->uses) / sizeof(*h->uses))
		abort();
	if (!h->nuses)
		h->sec_uses = object_section(&h->o, ".vmpoke.uses", SHF_ALLOC, h->uses, 0);
	point(h, h->sec_uses, h->nuses * sizeof(*h->uses) + offsetof(struct vmpoke_use, name),
	      function);
	h->uses[h->nuses].type = type;
	return &h->uses[h->nuses++];
}

void hotfix_finish(struct hotfix_build *h)
{
	h->o.sections[h->sec_info].size = h->info_len;
	h->o.sections[h->sec_strings].size = h->strings_len;
	h->o.sections[h->sec_functions].size = h->nfunctions * sizeof(*h->functions);
	h->o.sections[h->sec_symbols].size = h->nsymbols * sizeof(*h->symbols);
	h->o.sections[h->sec_calls].size = h->ncalls * sizeof(*h->calls);
	if (h->nuses)
		h->o.sections[h->sec_uses].size = h->nuses * sizeof(*h->uses);
	object_finish(&h->o);
}
