# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: vmpoke is killed at random moments while it switches a static key of
# the guest g: the VM runs on, or it does after `vmpoke recover`; the batch is there as a whole or not
# at all, and no int3 of ours is left.
#
#	check_kills gdb|qmp TEXT N SIGNALS	N times kill -9, SIGNALS times SIGTERM and SIGINT
#
# RANDOM=N before repeats the moments of a run, as far as moments repeat. `paused` counts the kills that
# left the VM stopped.

aimed=0 paused=0 now=off

# key_set ON|OFF: the whole switch
key_set() { vp key set "$to" sched_schedstats "$1" >"$tmp/out" 2>&1; }

now_us() { echo $(("${EPOCHREALTIME/./}")); }

# Switch once, and keep the longest time that took, in microseconds, and the code it makes.
measure() { # ON|OFF
	local begin
	begin=$(now_us)
	key_set "$1" || return
	begin=$(($(now_us) - begin))
	[ $begin -le $took ] || took=$begin
	guest_text g "$tmp/$1"
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

# Where bytes differ, by the kernel's names: what cmp -l says of the first of them.
differing() { # FILE
	local at is other
	head -n 10 "$1" | while read -r at is other; do
		at=$(printf '%#x' $(($(guest_symbol g _text) + at - 1)))
		echo "$(vp sym "$to" "$at" | tail -n 1): $(printf '%02x instead of %02x' "0$is" "0$other")"
	done
}

# Is the VM as it should be, whatever was interrupted? Prints what is wrong. Sets `now` to what the key
# is, or most of it.
whole() {
	local status
	status=$(guest_status g)
	[ "$status" = running ] || { echo "it is ${status:-gone}"; return 1; }
	guest_keys_right g || return
	guest_text g "$tmp/text" "$tmp/g.image"
	for now in on off; do
		cmp -s "$tmp/text" "$tmp/$now" && return
	done
	for now in on off; do
		cmp -l "$tmp/text" "$tmp/$now" >"$tmp/differs.$now"
	done
	[ "$(wc -l <"$tmp/differs.on")" -lt "$(wc -l <"$tmp/differs.off")" ] && now=on || now=off
	differing "$tmp/differs.$now"
	guest_run g 'dmesg | tail -n 5' # if the guest itself has patched its code, it may say why
	echo "the code is neither as before nor as after; of what it is $now, $(wc -l <"$tmp/differs.$now") bytes differ"
	return 1
}

# kill -9; then the next vmpoke says if there is something to recover, and recover does it.
kill_once() {
	local status code
	interrupt KILL
	status=$(guest_status g)
	[ "$status" = running ] || paused=$((paused + 1))
	vp info "$to" >"$tmp/out" 2>"$tmp/err"
	code=$?
	if grep -q "vmpoke recover" "$tmp/err"; then
		# Through the gdbstub alone it cannot be looked at; a write is refused, too.
		[ $code -eq 0 ] || [[ $to == qemu+gdb:* && $code -eq 9 ]] || { cat "$tmp/err"; return 1; }
		key_set on
		code=$?
		[ $code -eq 9 ] || { echo "key set ended with $code"; cat "$tmp/out"; return 1; }
		vp recover "$to" >"$tmp/out" 2>&1 || { cat "$tmp/out"; return 1; }
	elif [ $code -ne 0 ]; then
		cat "$tmp/err"
		return 1
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
		guest_show g
		vp recover "$to" 2>&1 | sed 's/^/#  /'
		return
	done
	ok "$text" 0
}

check_kills() { # gdb|qmp TEXT N SIGNALS
	to=$(target g "$1")
	took=0
	measure on && measure off
	ok "$2: switches, in up to $((took / 1000)) ms" $? || return
	rounds "$3" "$2: kill -9, $3 times" kill_once
	rounds "$4" "$2: SIGTERM, $4 times" signal_once TERM
	rounds "$4" "$2: SIGINT, $4 times" signal_once INT
	[ $now = off ] || key_set off
	guest_text g "$tmp/text"
	check "$2: at last the code is the original" cmp "$tmp/off" "$tmp/text"
}
