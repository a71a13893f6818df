#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A thousand switches of a static key, with all its sites and its count, while the guest works. Then
# its code is byte for byte what it was.
#
#	LINUX_FLIPS=N	how many
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
flips=${LINUX_FLIPS:-1000}

guest_start g cloud && guest_symbols g
ok "boots" $? || exit 1
to=$(target g gdb)
ways=(gdb qmp qmp qmp) # one ledger for both
check "the load is at work" guest_run g 'load start; load settle'
guest_warnings g >"$tmp/warnings"
guest_text g "$tmp/before"

done=0 begin=$SECONDS
for ((i = 0; i < flips; i++)); do
	[ $((i % 2)) -eq 0 ] && what=on || what=off
	vp key set "$(target g "${ways[i % 4]}")" sched_schedstats $what >"$tmp/out" 2>&1 || break
	done=$((done + 1))
	if [ $((i % 100)) -eq 48 ]; then
		same "after $done switches the guest sees it on" "$(guest_schedstats g)" 1
		check "after $done switches all keys are right" guest_keys_right g
	fi
done
same "all switches were made" "$done" "$flips"
[ $done -eq "$flips" ] || sed 's/^/#  /' "$tmp/out"
echo "# $flips switches in $((SECONDS - begin)) s"

same "the guest sees it off" "$(guest_schedstats g)" 0
check "all keys are right" guest_keys_right g
guest_text g "$tmp/after"
check "the code is byte for byte the original" cmp "$tmp/before" "$tmp/after"
same "nothing is applied any more" "$(vp info "$to" --json | jq .pokes)" 0
check "the load goes on, without an error" guest_run g 'load check'
check "the witness saw nothing" guest_saw g 99
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" cmp "$tmp/warnings" "$tmp/warnings.now"
exit $failed
