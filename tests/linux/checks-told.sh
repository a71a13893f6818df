# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: what is said beside the result.
#
#	check_told TEXT		of the guest g: --verbose, --quiet, and who is waited for, on a terminal and elsewhere

is_locked() { ! flock -n "$1" true; } # FILE

check_told() { # TEXT
	local to lock holders=() state=$VMPOKE_STATE_DIR
	to=$(target g qmp)
	vp info "$to" -v >"$tmp/out" 2>"$tmp/err"
	grep -qE '^vmpoke: .*/qmp: query-status.*  [0-9]+\.[0-9]{3} ms$' "$tmp/err"
	ok "$1: --verbose says what is asked of whom, and how long it took" $?
	vp info "$to" >"$tmp/again" 2>"$tmp/err"
	cmp -s "$tmp/out" "$tmp/again" && [ ! -s "$tmp/err" ]
	ok "$1: ... beside the result, and only then" $?

	vp key set "$to" sched_schedstats on >"$tmp/out" 2>&1
	grep -qF "to take it back: vmpoke revert $to " "$tmp/out"
	ok "$1: how it is taken back" $?
	vp key set "$to" sched_schedstats off --quiet >"$tmp/out" 2>&1
	! grep -q "take it back" "$tmp/out"
	ok "$1: --quiet leaves that out" $?

	for lock in "$state"/*.lock; do
		flock "$lock" sleep 60 & # waits: is_locked has it for a moment
		holders+=($!)
		until_true 20 is_locked "$lock" >"$tmp/out" 2>&1
	done
	VMPOKE_TIMEOUT=2500 script -qec "$vmpoke key set $to sched_schedstats on" /dev/null >"$tmp/out" 2>&1 </dev/null
	same "$1: locked: the exit code" $? 4
	grep -qE 'waiting for process [0-9]+ of [a-z]+: flock' "$tmp/out"
	ok "$1: on a terminal it says whom it waits for" $?
	grep -qE 'another vmpoke works on this VM.*\(process [0-9]+ of [a-z]+: flock ' "$tmp/out"
	ok "$1: ... and whom it has waited for" $?
	VMPOKE_TIMEOUT=1500 vp key set "$to" sched_schedstats on >"$tmp/out" 2>&1
	[ "$(wc -l <"$tmp/out")" -eq 1 ] && ! grep -q 'waiting for' "$tmp/out"
	ok "$1: elsewhere it is one line" $?
	pkill -P "$(IFS=,; echo "${holders[*]}")" -x sleep
	wait "${holders[@]}"
}
