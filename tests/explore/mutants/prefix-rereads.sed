# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: a late trap is judged by a byte that was read after the table
s/bytes\[0\] = first;/;/
