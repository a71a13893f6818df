#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ./rig.sh runs on the emulated host: each line of the JSON behind "BENCH> ".
/vmpoke/build/vmpoke bench --runs "$(cat /rig/runs)" --max-vcpus 4 --quiet --json | sed 's/^/BENCH> /'
exit "${PIPESTATUS[0]}"
