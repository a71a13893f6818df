/* SPDX-License-Identifier: Apache-2.0 */
/* What a trusted comment says of its signature: words between blanks or tabs. Pure. */
#ifndef VP_SIGN_TERMS_H
#define VP_SIGN_TERMS_H

#include <vmpoke/types.h>

#define VP_TERMS_FILE 128u

struct vp_terms {
	int64_t made;		  /* timestamp:SECONDS since 1970; 0: not said */
	int64_t ends;		  /* the first second after expires:YYYY-MM-DD (UTC); 0: never */
	char ends_text[11];	  /* that day */
	char file[VP_TERMS_FILE]; /* file:NAME, what was signed was called so; "": not said */
};

/*
 * Words that are not known mean nothing, but one that begins as a known one and is not as it must
 * be, or is there twice, is -ENOEXEC: what was meant is not known.
 */
int vp_terms_parse(const char *comment, struct vp_terms *out, struct vp_err *err);

/* The first second after the day YYYY-MM-DD (UTC); -EINVAL: there is no such day. */
int vp_terms_day(const char *day, size_t len, int64_t *ends);

/* The clock of the host that signed may go before ours by that many seconds. */
#define VP_TERMS_SKEW 300

/* Do they hold at @now? -EKEYREJECTED: it has expired, or the clock is wrong. */
int vp_terms_check(const struct vp_terms *t, int64_t now, struct vp_err *err);

#endif /* VP_SIGN_TERMS_H */
