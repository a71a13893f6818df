# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: who has stayed out for others enters without another look
/^bool vp_local_stay_out/,/^}/s/^\treturn true;/\treturn false;/
