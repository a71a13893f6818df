/* SPDX-License-Identifier: Apache-2.0 */
/* Colours of what goes to standard output; on a terminal only, and not against NO_COLOR. */
#ifndef VP_CLI_COLOUR_H
#define VP_CLI_COLOUR_H

enum vp_colour {
	VP_COLOUR_BAD,	/* what a person must look at */
	VP_COLOUR_MARK, /* what vmpoke has put there */
};

/* What begins a colour, and what ends any; "" where there are none. */
const char *vp_colour(enum vp_colour colour);
const char *vp_colour_end(void);

#endif /* VP_CLI_COLOUR_H */
