# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the new heads are written before the new tails
s/rc = write_tails(e, b, &any_tail, res, err);/{\n\t\trc = uncap_heads(e, b, true, res, err);\n\t\trc = rc ? rc : write_tails(e, b, \&any_tail, res, err);\n\t}/
s/^\t\trc = recheck(e, b, true, res, err);/\t\trc = 0;/
s/rc = vp_slot_uncap(.*/rc = e->target->ops->swap_head(e->target, s->head, VP_INT3,\n\t\t\t(to_new ? s->site.new_bytes : s->site.old_bytes)[0], NULL);/
s/rc = vp_slot_swap_tail(e->target, s, s->site.old_bytes, /rc = vp_slot_write_tail(e->target, s, /
