# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: a site is taken for ours before it is capped
s/if (claim == VP_CLAIM_NONE)/if (!slot)/
