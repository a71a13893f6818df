# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: who is not armed yet lingers, too
/^static void serve_arming/,/^}/s/if (!want && vp_now_ms()/if (vp_now_ms()/
