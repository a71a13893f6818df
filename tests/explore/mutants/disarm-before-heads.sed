# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: vCPUs are disarmed before the heads are written
s/^\trc = uncap_heads(e, b, true, res, err);/\te->target->ops->disarm(e->target);\n&/
