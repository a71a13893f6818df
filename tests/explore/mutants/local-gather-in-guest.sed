# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: who stays out for others does not say that it is out
/^bool vp_local_stay_out/,/^}/s/^\tatomic_store(&v->mode, VP_MODE_OUT);//
