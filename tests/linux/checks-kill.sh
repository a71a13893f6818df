# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: vmpoke is killed at random moments while it switches a static key of
# the guest g: the VM runs on, or it does after `vmpoke recover`; the batch is there as a whole or not
# at all, and no int3 of ours is left.
#
#	check_kills gdb|qmp|own TEXT N SIGNALS	N times kill -9, SIGNALS times SIGTERM and SIGINT;
#						own: over QMP, in a stub that vmpoke opens itself
#
# RANDOM=N before repeats the moments of a run, as far as moments repeat. `paused` counts the kills that
# left the VM stopped.
#
#	KILL_CONTROL=1	nobody is killed: what fails then is not about kills
#	KILLS_WHOLE=N	look at all its keys and code after every Nth kill alone (1), to kill more often in an hour

aimed=0 paused=0 killed=0 now=off

# key_set ON|OFF: the whole switch
key_set() { vp key set "$to" sched_schedstats "$1" >"$tmp/out" 2>&1; }

now_us() { echo $(("${EPOCHREALTIME/./}")); }

# Hear of QEMU's events, until guest_disconnect.
listen() {
	guest_connect g watch
	qemu_says '{"execute":"qmp_capabilities"}' >"$tmp/events"
}

# Commands to QEMU on that connection: all that it says until it has answered them.
qemu_says() { # JSON...
	local line answers=0
	printf '%s\n' "$@" >&"$link_in"
	while [ $answers -lt $# ] && IFS= read -r -t "$GUEST_LIMIT" line <&"$link_out"; do
		echo "$line"
		[[ $line != '{"return"'* ]] || answers=$((answers + 1))
	done
}

# The longest of the stops that QEMU told of, in microseconds.
longest_stop() { # EVENTS
	jq -s '[.[] | select(.event == "STOP" or .event == "RESUME")] |
		[range(length - 1) as $i | select(.[$i].event == "STOP") | [.[$i, $i + 1].timestamp |
		.seconds * 1000000 + .microseconds] | .[1] - .[0]] | max // 0' "$1"
}

# Switch once, and keep the longest time that took, and that the VM was stopped meanwhile, in
# microseconds; and the code it makes.
measure() { # ON|OFF
	local begin code stop link_in link_out link_pid
	listen
	begin=$(now_us)
	key_set "$1"
	code=$?
	begin=$(($(now_us) - begin))
	qemu_says '{"execute":"query-status"}' >"$tmp/events"
	guest_disconnect
	[ $code -eq 0 ] || { sed 's/^/#  /' "$tmp/out"; return 1; }
	stop=$(longest_stop "$tmp/events")
	[ $begin -le $took ] || took=$begin
	[ "$stop" -le $window ] || window=$stop
	guest_text g "$tmp/$1"
}

seconds() { printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)); } # MICROSECONDS

# Wait until QEMU has said that the VM stopped, and for so long after that not that it runs; or until the
# vmpoke ends. Its short stops, to look, are none of the moments that matter.
until_stopped() { # PID MICROSECONDS
	local line wait=0.5
	while :; do
		if IFS= read -r -t $wait line <&"$link_out"; then
			case $line in
			*'"STOP"'*) wait=$(seconds "$2") ;;
			*'"RESUME"'*) wait=0.5 ;;
			esac
		elif [ $wait != 0.5 ] || ! kill -0 "$1" 2>/dev/null; then
			return
		fi
	done
}

# interrupt SIGNAL: start a switch and send the signal at some moment of it; every other time at one
# of the moments that matter most: the VM is stopped, and half of the batch is written.
interrupt() {
	local random=$((RANDOM * 32768 + RANDOM)) pid what=off link_in link_out link_pid
	[ $now = off ] && what=on
	aimed=$((1 - aimed))
	[ $aimed -eq 0 ] || listen
	# SIGINT is ignored in what a script puts into the background.
	env --default-signal=INT "$vmpoke" key set "$to" sched_schedstats $what >"$tmp/out" 2>&1 \
		</dev/null &
	pid=$!
	if [ $aimed -eq 1 ]; then
		until_stopped $pid $((window / 8 + random % (window / 2 + 1)))
	else
		sleep "$(seconds $((random % (took * 11 / 10))))"
	fi
	[ -n "${KILL_CONTROL-}" ] || kill -"$1" $pid 2>/dev/null
	wait $pid 2>/dev/null
	[ $aimed -eq 0 ] || guest_disconnect
}

# Where bytes differ, by the kernel's names: what cmp -l says of the first of them.
differing() { # FILE
	local at is other
	head -n 10 "$1" | while read -r at is other; do
		at=$(printf '%#x' $(($(guest_symbol g _text) + at - 1)))
		echo "$(vp sym "$to" "$at" | tail -n 1): $(printf '%02x instead of %02x' "0$is" "0$other")"
	done
}

# What of the code of one that died stands as with the key off, as with it on, and as with neither: was
# it us?
dead_code() {
	guest_text g "$tmp/text" || return
	for now in on off; do
		cmp -l "$tmp/text" "$tmp/$now" | awk '{print $1}' | sort >"$tmp/not.$now"
	done
	echo "of its code $(comm -13 "$tmp/not.off" "$tmp/not.on" | wc -l) bytes are as with the key off," \
		"$(comm -13 "$tmp/not.on" "$tmp/not.off" | wc -l) as with it on," \
		"$(comm -12 "$tmp/not.on" "$tmp/not.off" | wc -l) as with neither"
}

# Is the VM as it should be, whatever was interrupted? Prints what is wrong. Sets `now` to what the key
# is, or most of it.
whole() {
	local status
	status=$(guest_status g)
	[ "$status" = running ] || { echo "it is ${status:-gone}" && dead_code; return 1; }
	if [ $((killed % ${KILLS_WHOLE:-1})) -ne 0 ]; then
		status=$(guest_schedstats g) || return
		[ "$status" = 1 ] && now=on || now=off
		return
	fi
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
	interrupt KILL
	recovered
}

# What is to be after a kill.
recovered() {
	local status code
	killed=$((killed + 1))
	status=$(guest_status g)
	[ "$status" = running ] || paused=$((paused + 1))
	vp info "$to" >"$tmp/out" 2>"$tmp/err"
	code=$?
	if grep -q "vmpoke recover" "$tmp/err"; then
		# Through the gdbstub alone it cannot be looked at; a write is refused, too.
		[ $code -eq 0 ] || [[ $to == qemu+gdb:* && $code -eq 9 ]] || { cat "$tmp/err"; return 1; }
		if [ $((killed % ${KILLS_WHOLE:-1})) -eq 0 ]; then
			key_set on
			code=$?
			[ $code -eq 9 ] || { echo "key set ended with $code"; cat "$tmp/out"; return 1; }
		fi
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
		[ $i -eq 0 ] || [ $((i % 5)) -ne 0 ] || echo "# $i rounds, $paused of all kills hit"
		"$@" >"$tmp/check" 2>&1 && continue
		ok "$text: round $i: $(tail -n 1 "$tmp/check")" 1
		sed 's/^/#  /' "$tmp/check"
		guest_show g
		vp recover "$to" 2>&1 | sed 's/^/#  /'
		return
	done
	ok "$text" 0
}

# A batch stands in the VM for less than a millisecond, which a script hits too seldom: so kill before its
# bytes are sent, and behind that.
kill_at_the_write() {
	local before=$paused behind
	for behind in "" 1; do
		key_set on || return
		rm -f "$tmp/steps"
		LD_PRELOAD=$tmp/killer.so KILLER_COUNT=$tmp/steps KILLER_AT=M KILLER_BEHIND=$behind key_set off
		tail -n 3 "$tmp/steps"
		recovered || return
		[ $now = off ] || key_set off || return
	done
	[ $paused -eq $((before + 2)) ] || { echo "the VM was not stopped by it"; return 1; }
}

# Kill until one kill has left the VM stopped: a test that never does so shows little.
kill_in_window() {
	local before=$paused i
	[ -z "${KILL_CONTROL-}" ] || return 0
	if [ -e "$tmp/killer.so" ] || "${CC:-cc}" -shared -fPIC -O -D_GNU_SOURCE -o "$tmp/killer.so" \
		"$guest_here/killer.c" 2>/dev/null; then
		kill_at_the_write
		return
	fi
	for ((i = 0; i < 200; i++)); do # no compiler is here
		aimed=0 # the next one is
		kill_once || return
		[ $paused -eq "$before" ] || return 0
	done
	echo "of 200 kills none hit a moment when the VM was stopped"
	return 1
}

hmp() { guest_qmp g '{"execute":"human-monitor-command","arguments":{"command-line":"'"$1"'"}}'; }

# The stub of the guest's owner: take it away, put it back.
owner_stub() { # off|on
	if [ "$1" = off ]; then
		hmp "gdbserver none" | grep "Disabled gdbserver"
		return
	fi
	guest_qmp g "$(printf '{"execute":"chardev-add","arguments":{"id":"gdb","backend":{"type":"socket",
		"data":{"addr":{"type":"unix","data":{"path":"%s"}},"wait":false}}}}' "$(guest_dir g)/gdb")" &&
		hmp "gdbserver chardev:gdb" | grep "Waiting for gdb"
}

kills() { # TEXT N SIGNALS
	[ "$2" -eq 0 ] || rounds 1 "$1: kill -9 while it is stopped" kill_in_window
	rounds "$2" "$1: kill -9, $2 times" kill_once
	if [ "$3" -gt 0 ]; then
		rounds "$3" "$1: SIGTERM, $3 times" signal_once TERM
		rounds "$3" "$1: SIGINT, $3 times" signal_once INT
	fi
	[ $now = off ] || key_set off
	guest_text g "$tmp/text"
	check "$1: at last the code is the original" cmp "$tmp/off" "$tmp/text"
}

check_kills() { # gdb|qmp|own TEXT N SIGNALS
	to=$(target g "${1/own/qmp}") took=0 window=0
	[ "$1" != own ] || check "$2: its owner takes his stub away" owner_stub off
	measure on && measure off
	if ok "$2: switches, in $((took / 1000)) ms, stopped for up to $window us" $?; then
		kills "$2" "$3" "$4"
	fi
	[ "$1" != own ] || check "$2: its owner has his stub again" owner_stub on
}
