/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of others (guests, QEMU, files, sockets, users) on its way to a terminal, a ledger or JSON.
 * The one place that knows what may pass.
 *
 * Printable is UTF-8 as Unicode has it, without what controls: no C0 and C1 controls and no DEL (so
 * no escape sequence and no second line), no line and paragraph separators, nothing that turns the
 * direction of writing or is not seen. Each byte of anything else becomes '?'.
 */
#ifndef VP_BASE_TEXT_H
#define VP_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Make @text printable, where it stands: its length stays. */
void vp_text_clean(char *text);

/* Would it stay as it is? */
bool vp_text_is_clean(const char *text);

/* Copy what fits of @from into @to, printable and ended by a NUL. @size > 0. */
void vp_text_copy(char *to, size_t size, const char *from);

#endif /* VP_BASE_TEXT_H */
