# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the table is retired, and an older one freed, before quiescence (S4)
/^static int finish(/,/^}/s/^\tif (!rc)$/\tif (!rc) {\n\t\ttable_retire(e, b);/
/^static int finish(/,/^}/s/^\t\trc = e->target->ops->quiesce(.*/&\n\t}/
s/^\t\ttable_retire(e, b);$/\t\t;/
s/^\ttable_retire(e, b);$/\t;/
