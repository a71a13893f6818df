#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The VMM's threads under ThreadSanitizer: batches, hotplug and stop while vCPUs run.
set -u
vmpoke=${VMPOKE_TSAN:-build/san-thread/vmpoke}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

check() { # WHAT ARGS...
	local what=$1
	shift
	if TSAN_OPTIONS=halt_on_error=0 timeout 300 "$vmpoke" demo --json "$@" \
		>"$dir/out" 2>"$dir/err" &&
		! grep -q 'WARNING: ThreadSanitizer' "$dir/err"; then
		echo "ok - TSan: $what"
	else
		echo "not ok - TSan: $what"
		head -n 60 "$dir/err"
		tail -n 30 "$dir/out"
		failed=1
	fi
}

check "int3 batches, 3 vCPUs" --vcpus 3 --pokes 150
check "stop batches, 3 vCPUs" --vcpus 3 --pokes 50 --strategy stop
check "vCPUs come and go" --vcpus 2 --pokes 100 --hotplug
exit $failed
