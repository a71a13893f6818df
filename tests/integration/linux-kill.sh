#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# vmpoke is killed at random moments while it switches a static key: the VM runs on, or it does after
# `vmpoke recover`; the batch is there as a whole or not at all, and no int3 of ours is left.
#
#	LINUX_KILLS=N	how often with kill -9; also for each of SIGINT, SIGTERM a fifth of it
#	LINUX_SEED=N	repeats the moments of a run, as far as moments repeat
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
kills=${LINUX_KILLS:-50}
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"

# key_set ON|OFF: the whole switch
key_set() { vp key set "$to" sched_schedstats "$1" >"$tmp/out" 2>&1; }

now_us() { echo $(("${EPOCHREALTIME/./}")); }

# How long a switch takes, in microseconds: the longest of three.
measure() {
	local begin took=0 what
	for what in on off on off; do
		begin=$(now_us)
		key_set "$what" || return
		begin=$(($(now_us) - begin))
		[ $begin -gt $took ] && took=$begin
	done
	echo $took
}

sleep_us() { sleep "$(printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)))"; }

# Wait until the vmpoke $1 has written down in its ledger what it is about to do, or ends.
until_begun() {
	local ledger
	while kill -0 "$1" 2>/dev/null; do
		for ledger in "$VMPOKE_STATE_DIR"/ledger/*; do
			[ "$ledger" -nt "$tmp/started" ] && return
		done
	done
}

# interrupt SIGNAL: start a switch and send the signal at some moment of it; every other time at one
# of the moments that matter most: the VM is stopped, and half of the batch is written.
interrupt() {
	local us=$(((RANDOM * 32768 + RANDOM) % (took * 11 / 10))) pid what=off
	[ $now = off ] && what=on
	: >"$tmp/started"
	# SIGINT is ignored in what a script puts into the background.
	env --default-signal=INT "$vmpoke" key set "$to" sched_schedstats $what >"$tmp/out" 2>&1 \
		</dev/null &
	pid=$!
	aimed=$((1 - aimed))
	if [ $aimed -eq 1 ]; then
		until_begun $pid
		us=$((us / 4))
	fi
	sleep_us $us
	kill -"$1" $pid 2>/dev/null
	wait $pid 2>/dev/null
}

# Is the VM as it should be, whatever was interrupted? Prints what is wrong. Sets what the key is now.
whole() {
	[ "$(guest_status g)" = running ] || { echo "it is paused"; return 1; }
	guest_keys_right g || return
	guest_text g "$tmp/text" "$tmp/g.image"
	for now in on off; do
		cmp -s "$tmp/text" "$tmp/$now" && return
	done
	echo "the code is neither as before nor as after:" && cmp "$tmp/text" "$tmp/off"
	return 1
}

# kill -9; then the next vmpoke says if there is something to recover, and recover does it.
kill_once() {
	local status
	interrupt KILL
	status=$(guest_status g)
	[ "$status" = running ] || paused=$((paused + 1))
	if ! vp info "$to" >"$tmp/out" 2>"$tmp/err"; then
		grep -q "vmpoke recover" "$tmp/err" || { cat "$tmp/err"; return 1; }
		vp recover "$to" >"$tmp/out" 2>&1 || { cat "$tmp/out"; return 1; }
	elif [ "$status" != running ]; then
		echo "it is paused, and the next vmpoke does not say so" && cat "$tmp/out"
		return 1
	fi
	whole
}

signal_once() { # SIGNAL
	interrupt "$1"
	whole
}

# rounds N TEXT COMMAND...
rounds() {
	local n=$1 text=$2 i
	shift 2
	for ((i = 0; i < n; i++)); do
		"$@" >"$tmp/check" 2>&1 && continue
		ok "$text: round $i: $(tail -n 1 "$tmp/check")" 1
		sed 's/^/#  /' "$tmp/check"
		vp recover "$to" 2>&1 | sed 's/^/#  /'
		return
	done
	ok "$text" 0
}

guest_start g cloud && guest_symbols g
ok "boots" $? || exit 1
check "the load is at work" guest_run g 'load start; load settle'
guest_warnings g >"$tmp/warnings"
aimed=0 paused=0 now=off
for proto in gdb qmp; do
	to=$(target g $proto)
	guest_text g "$tmp/off"
	key_set on && guest_text g "$tmp/on" && key_set off && took=$(measure)
	ok "$proto: switches, in up to $((took / 1000)) ms" $? || break
	rounds $((kills / 2)) "$proto: kill -9, $((kills / 2)) times" kill_once
	rounds $((kills / 10)) "$proto: SIGTERM, $((kills / 10)) times" signal_once TERM
	rounds $((kills / 10)) "$proto: SIGINT, $((kills / 10)) times" signal_once INT
	[ $now = off ] || key_set off
	guest_text g "$tmp/text"
	check "$proto: at last the code is the original" cmp "$tmp/off" "$tmp/text"
done
ok "some kills hit a moment when the VM was stopped: $paused" "$([ $paused -gt 0 ]; echo $?)"
guest_run g 'echo 1 >/proc/sys/kernel/sched_schedstats; echo 0 >/proc/sys/kernel/sched_schedstats'
check "the guest itself switches the key, correctly" guest_keys_right g
check "the load goes on, without an error" guest_run g 'load check'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" cmp "$tmp/warnings" "$tmp/warnings.now"
exit $failed
