#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ../qemu-kvm.sh runs on the emulated host: the checks of tests/linux on a guest of QEMU with KVM, by
# both ways to it.
#
#	KERNEL=FLAVOUR, KILLS=N, KILLS_BY="gdb qmp"
set -u
linux=$(dirname "$0")/../../linux
. "$linux/checks.sh"
. "$linux/checks-guest.sh"
. "$linux/checks-kill.sh"
. "$linux/checks-host.sh"
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"

since() { echo "# $1: $((SECONDS - begin)) s" && begin=$SECONDS; }
begin=$SECONDS

# Do all vCPUs stand in a hlt, for QEMU, too?
all_halted() {
	local halted
	halted=$(guest_qmp g '{"execute":"human-monitor-command","arguments":{"command-line":"info registers -a"}}' |
		grep -o 'HLT=1' | wc -l)
	[ "$halted" -eq "$GUEST_VCPUS" ]
}

# A vCPU that is halted wakes up in code that has changed meanwhile.
check_halted() { # TARGET TEXT on|off
	check "$2: all vCPUs are halted" until_true "$GUEST_LIMIT" all_halted
	check "$2: key set $3" vp key set "$1" sched_schedstats "$3"
	same "$2: the guest sees it" "$(guest_schedstats g)" "$([ "$3" = on ]; echo $((1 - $?)))"
	check "$2: all keys are right" guest_keys_right g
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

guest_start g "$KERNEL" && guest_symbols g
ok "boots" $? || exit 1
gdb=$(target g gdb) qmp=$(target g qmp)
since "boot"
guest_watch
check_info "$qmp" "qmp"
same "info: it is KVM" "$(field accel)" kvm
check_halted "$qmp" "qmp" on
check_halted "$gdb" "gdb" off
since "info, halted"
check "the load is at work" guest_run g 'load start; load settle'
check_info "$gdb" "gdb, under load"
check_symbols "$gdb" "gdb"
check_sym_read "$qmp" "qmp"
since "symbols"
check_pokes "$gdb" "gdb"
check_poke "$qmp" "qmp"
since "pokes"
check_keys "$qmp" "qmp"
since "keys"
for proto in $KILLS_BY; do
	check_kills $proto $proto "$KILLS" 1
	since "$KILLS kills, $proto"
done
echo "# kills that hit a moment when the VM was stopped: $paused"
[ "$KILLS" -lt 20 ] || ok "some did" "$([ $paused -gt 0 ]; echo $?)" # of a few perhaps none does
check_pause "$qmp" "qmp"
check_pause "$gdb" "gdb"
check_life "at last"
guest_run g "load stop"
check_migration "migration"
since "the rest"
exit $failed
