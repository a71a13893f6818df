# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: handlers are not waited for
s/rc = e->target->ops->quiesce(.*/rc = 0;/
