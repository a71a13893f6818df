# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the new head is written together with the first byte of the tail, and sync 2 left out
/^static int uncap_heads(/,/^}/s/rc = \(vp_slot_uncap(.*\)/rc = to_new \&\& s->site.len > 1\n\t\t\t? e->target->ops->write(e->target, s->head, s->site.new_bytes, 2, NULL)\n\t\t\t: \1/
/if (!rc && any_tail)/{n;s/rc = sync_all(.*/rc = 0;/}
