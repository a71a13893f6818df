#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ../qemu-kvm.sh runs on the emulated host: the checks of tests/linux on a guest of QEMU with KVM, by
# both ways to it.
#
#	KERNEL=FLAVOUR, KILLS=N, KILLS_BY="gdb qmp own", KILLS_ONLY=1, WORK_ONLY=SECONDS, STOPS=1|look
set -u
linux=$(dirname "$0")/../../linux
. "$linux/checks.sh"
. "$linux/checks-guest.sh"
. "$linux/checks-kill.sh"
. "$linux/checks-host.sh"
. "$linux/checks-hotfix.sh"
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"

took() { # TEXT: what the time since the last one went into
	echo "# $1: $((SECONDS - begin)) s" && begin=$SECONDS
}

since() { # TEXT: the same, and it is to live
	took "$1"
	alive
}

begin=$SECONDS

# What is tested comes first, and QEMU's answers: the guest itself gets what is left.
guest_gives_way() {
	local thread
	for thread in $(guest_qmp g '{"execute":"query-cpus-fast"}' | jq '.return[]."thread-id"'); do
		renice -n 19 -p "$thread" || return
	done
}

# Do all vCPUs stand in a hlt, for QEMU, too?
all_halted() {
	local halted
	halted=$(guest_qmp g '{"execute":"human-monitor-command","arguments":{"command-line":"info registers -a"}}' |
		grep -o 'HLT=1' | wc -l)
	[ "$halted" -eq "$GUEST_VCPUS" ]
}

# A vCPU that is halted wakes up in code that has changed meanwhile.
check_halted() { # TEXT WANTED COMMAND...
	local text=$1 wanted=$2
	shift 2
	check "$text: all vCPUs are halted" until_true "$GUEST_LIMIT" all_halted
	check "$text" vp "$@"
	same "$text: the guest sees it" "$(guest_schedstats g)" "$wanted"
	check "$text: all keys are right" guest_keys_right g
}

# What check_pokes does by the other way, in short.
check_poke() { # TARGET TEXT
	local code mov imm
	code=$(vp read "$1" $func --len 64 --json | jq -r .hex)
	mov=$(find_mov "$code") imm=${mov#* } mov=$func+${mov% *}
	change 13 "$2: poke of a mov" poke "$1" "$mov" --old "$imm" --new "${imm:0:2}0d000000"
	change 99 "$2: revert" revert "$1"
}

check_pause() { # TARGET TEXT
	guest_qmp g '{"execute":"stop"}' >"$tmp/out"
	guest_text g "$tmp/before"
	refused "$2: paused by its owner: key set" "paused" key set "$1" sched_schedstats on
	same "$2: it stays paused" "$(guest_status g)" paused
	guest_text g "$tmp/after"
	check "$2: nothing was written" cmp "$tmp/before" "$tmp/after"
	guest_qmp g '{"execute":"cont"}' >"$tmp/out"
	check "$2: its owner lets it go on" guest_run g true
}

# On an emulated SVM a guest may die by a triple fault, in its first second or at work, though nobody touches it
# (WORK_ONLY shows how often). While it boots vmpoke has not been started: that is told, and done again.
deaths=0
boot() {
	local tries
	for tries in 1 2 3 4 5; do
		guest_start g "$KERNEL" 2>"$tmp/boot" && return
		sed 's/^/#  /' "$tmp/boot"
		[ "$(guest_status g)" = shutdown ] || return
		deaths=$((deaths + 1))
		echo "# boot $tries: the guest reset itself; vmpoke has not touched it"
		guest_stop g
	done
	return 1
}

# For 5 s: its owner stops it and lets it go on, as often as that goes. With STOPS=look he has its vCPUs'
# registers shown meanwhile: then QEMU takes their state out of KVM, and puts it back.
stop_often() {
	local end=$((SECONDS + 5)) link_in link_out link_pid commands=('{"execute":"stop"}' '{"execute":"cont"}')
	[ "$STOPS" != look ] || commands=('{"execute":"stop"}'
		'{"execute":"human-monitor-command","arguments":{"command-line":"info registers -a"}}'
		'{"execute":"cont"}')
	listen
	while [ $SECONDS -lt $end ]; do
		qemu_says "${commands[@]}" >"$tmp/stops"
		stops=$((stops + 1))
		sleep 0.01
	done
	guest_disconnect
}

# How often does it die when it does nothing but its work, for so many seconds? STOPS=1, STOPS=look: and is
# stopped and let go on meanwhile, by no more than QEMU's own commands.
stops=0
work() { # SECONDS
	local end=$((SECONDS + $1)) times=0
	while [ $SECONDS -lt $end ]; do
		boot && guest_run g 'load start' || return
		times=$((times + 1))
		while [ $SECONDS -lt $end ]; do
			if [ -n "${STOPS-}" ]; then stop_often; else sleep 5; fi
			[ "$(guest_status g)" = running ] && continue
			deaths=$((deaths + 1))
			guest_show g
			break
		done
		echo "# $((SECONDS - begin)) s, $times boots, $deaths deaths, $stops stops, and no vmpoke"
		guest_stop g
	done
}

# One that is gone answers nothing more: do not wait for it.
alive() {
	local state
	state=$(guest_status g)
	[ "$state" = running ] && return
	ok "the guest lives: its state is $state" 1
	guest_show g
	exit 1
}

# --- in this order -------------------------------------------------------------

looking() {
	check_info "$gdb" "gdb"
	check_info "$qmp" "qmp"
	same "info: it is KVM" "$(field accel)" kvm
	since "info"
	check_halted "halted, qmp: key set on" 1 key set "$qmp" sched_schedstats on
	check_halted "halted, gdb: revert" 0 revert "$gdb"
	since "halted"
	check_symbols "$gdb" "gdb"
	guest_run g 'rmmod kvm' && guest_symbols g
	ok "a module goes away" $?
	check_symbols "$qmp" "qmp, without it"
	since "symbols"
	check_sym_read "$qmp" "qmp"
	since "sym, read"
}

writing() {
	check_pokes "$qmp" "qmp"
	check_poke "$gdb" "gdb"
	since "pokes"
	check_keys "$qmp" "qmp"
	since "keys"
	check_hotfix "$qmp" "qmp" /rig/built/three-together.o
	check_hotfix "$gdb" "gdb" /rig/built/three-together.o
	since "hotfixes"
}

killing() {
	local way
	for way in $KILLS_BY; do
		check_kills $way $way "$KILLS" 1
		since "kills, $way"
	done
	echo "# kills that hit a moment when the VM was stopped: $paused"
}

its_owner() {
	check_pause "$qmp" "qmp"
	check_pause "$gdb" "gdb"
	since "paused by its owner"
	guest_run g "load stop"
	check_migration "migration"
	took "migration"
}

if [ -n "${WORK_ONLY-}" ]; then
	work "$WORK_ONLY"
	ok "works, for $WORK_ONLY s" $?
	exit $failed
fi
boot && guest_symbols g
ok "boots" $? || exit 1
gdb=$(target g gdb) qmp=$(target g qmp)
check "it gives way" guest_gives_way
since "boot"
guest_watch
[ -n "${KILLS_ONLY-}" ] || looking
check "the load is at work" guest_run g 'load start; load settle'
since "load"
[ -n "${KILLS_ONLY-}" ] || writing
killing
check_life "at last"
[ -n "${KILLS_ONLY-}" ] || its_owner
exit $failed
