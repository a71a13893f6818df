/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tell.h"

static const struct vp_listener *ear;

void vp_listen(const struct vp_listener *listener)
{
	ear = listener;
}

bool vp_is_asked_heard(void)
{
	return ear && ear->asked;
}

void vp_tell_asked(const char *whom, const char *what)
{
	if (ear && ear->asked)
		ear->asked(whom, what);
}

void vp_tell_answered(const char *whom)
{
	if (ear && ear->answered)
		ear->answered(whom);
}

void vp_tell_progress(const char *what, uint64_t done, uint64_t total)
{
	if (ear && ear->progress)
		ear->progress(what, done, total);
}
