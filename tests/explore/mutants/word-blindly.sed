# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/words.c
# what: the word is stored whatever stands there now
s/^\t\tif (rc == -EAGAIN)/\t\tif (false)/
s/^\t\tif (rc)$/\t\tif (rc \&\& rc != -EAGAIN)/
