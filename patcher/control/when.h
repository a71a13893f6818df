/* SPDX-License-Identifier: Apache-2.0 */
/* Moments, in seconds since 1970, as text. */
#ifndef VP_CONTROL_WHEN_H
#define VP_CONTROL_WHEN_H

#include <stddef.h>
#include <stdint.h>

#define VP_WHEN_TEXT 32

/*
 * For programs, ISO 8601 in UTC: "2026-11-26T14:41:20Z". For people, in local time with its zone:
 * "2026-11-26 15:41:20 +0100". Returns @text; "" if the year has not four digits: a moment may be
 * the word of a guest or of a file.
 */
const char *vp_when_iso(int64_t when, char text[VP_WHEN_TEXT]);
const char *vp_when_local(int64_t when, char text[VP_WHEN_TEXT]);

#endif /* VP_CONTROL_WHEN_H */
