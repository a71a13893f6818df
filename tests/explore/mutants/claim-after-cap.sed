# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/swap.c
# what: a site is claimed only after its int3 stands
/^int vp_slot_cap(/,/^}/s/VP_CLAIM_TRYING/VP_CLAIM_NONE/
