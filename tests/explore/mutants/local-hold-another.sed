# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: hold() takes the first it has asked, not the first that came
/^static bool one_is_outside/,/^}/s/^\t\t\treturn true;/\t\t\treturn *out = l->vcpus[0], true;/
