/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of vmpoke. PATCH changes with repairs; MINOR with anything that a caller has to be
 * compiled again for, as long as MAJOR is 0. CHANGELOG.md says what changed.
 */
#ifndef VMPOKE_VERSION_H
#define VMPOKE_VERSION_H

/* Of these headers. */
#define VP_VERSION_MAJOR 0
#define VP_VERSION_MINOR 2
#define VP_VERSION_PATCH 0

#define VP_VERSION_TEXT_(x) #x
#define VP_VERSION_JOIN_(major, minor, patch) \
	VP_VERSION_TEXT_(major) "." VP_VERSION_TEXT_(minor) "." VP_VERSION_TEXT_(patch)

/* The same as text: "0.2.0". */
#define VP_VERSION VP_VERSION_JOIN_(VP_VERSION_MAJOR, VP_VERSION_MINOR, VP_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/* Of the library that was linked: VP_VERSION of its headers. Any thread; never freed. */
const char *vp_version(void);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_VERSION_H */
