/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What work says of itself while it goes on: how far it is, and what it asks of others. Nobody
 * hears it until somebody listens; the library never prints.
 */
#ifndef VP_BASE_TELL_H
#define VP_BASE_TELL_H

#include <vmpoke/types.h>

/*
 * Called on the thread that works, with whatever locks it has: it must not call back. NULL: that is
 * not listened to.
 */
struct vp_listener {
	/* Somebody (a socket, libvirt) is asked something; and has answered, or failed to. */
	void (*asked)(const char *whom, const char *what);
	void (*answered)(const char *whom);
	/* @done of @total steps are done; @total 0: nobody knows how many there are. */
	void (*progress)(const char *what, uint64_t done, uint64_t total);
};

/* From now on, in all threads: set it before there are others. NULL: nobody listens. */
void vp_listen(const struct vp_listener *listener);

/* Does anybody hear vp_tell_asked()? Else what is asked need not be put into words. */
bool vp_is_asked_heard(void);
void vp_tell_asked(const char *whom, const char *what);
void vp_tell_answered(const char *whom);
void vp_tell_progress(const char *what, uint64_t done, uint64_t total);

#endif /* VP_BASE_TELL_H */
