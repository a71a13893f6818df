# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: a trap on a page that was unmapped is given to the guest
/^static enum vp_verdict unseen(/,/^}/s/if (!unmapped && /if (/
