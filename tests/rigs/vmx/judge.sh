#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Judge what inside.sh showed on a host with so many CPUs.
#
#	tests/rigs/vmx/judge.sh CPUS CONSOLE
set -u
cpus=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/verdict.sh
# "NAME> TEXT" to the file NAME, "NAME= CODE" to NAME.code; of many codes the worst.
awk -v dir="$dir" '
	match($0, /^[a-z0-9-]+> /) { print substr($0, RLENGTH + 1) >(dir "/" substr($0, 1, RLENGTH - 2)) }
	match($0, /^[a-z0-9-]+= [0-9]+$/) {
		name = substr($1, 1, length($1) - 1)
		if (!(name in code) || $2 > code[name])
			code[name] = $2
		count[name]++
	}
	END {
		for (name in code)
			print count[name], code[name] >(dir "/" name ".code")
	}' "$2"

# ended NAME CODE [TIMES]: so often has it ended, and that was the worst code.
ended() {
	[ "$(cat "$dir/$1.code" 2>&1)" = "${3-1} $2" ] && return
	sed 's/^/# /' "$dir/$1.code" "$dir/$1" 2>&1
	return 1
}

# json NAME FILTER: is FILTER true of that output? If not, show it.
json() {
	jq -e "$2" "$dir/$1" >/dev/null 2>&1 && return
	sed 's/^/# /' "$dir/$1" 2>&1
	return 1
}

check "doctor: kvm_intel, trap route KVM_EXIT_DEBUG, foreign int3s can be given back" json doctor \
	'.ok and .module == "kvm_intel" and .trap_route == "KVM_EXIT_DEBUG" and .inject'

# A kernel with kvm-intel and without PTI.
check "doctor: all serializers are right here" json doctor \
	'.serializers == ["kick", "kick-membarrier", "membarrier"]'

# How KVM reports and reinjects #BP: what docs/protocol.md, "Trap routes", says.
check "#BP: all cases ran" ended bp 0
sed 's/^/# /' "$dir/bp"
bp() { # TEXT CASE FILTER
	jq "select(.case == \"$2\")" "$dir/bp" >"$dir/bp-case"
	check "#BP: $1" json bp-case "$3"
}
bp "reported as KVM_EXIT_DEBUG, exception 3, RIP and pc at the int3" plain \
	'.exit == 4 and .exception == 3 and .rip == 0 and .pc == 0'
bp "given back with RIP as it was: the handler finds RIP after the int3" plain \
	'.handled and .handler_rip == 1'
bp "given back with RIP moved: the handler finds it one too far" moved \
	'.handled and .handler_rip == 2'
bp "of an int3 with a prefix: RIP at the prefix, the handler's after both bytes" prefixed \
	'.exception == 3 and .rip == 0 and .pc == 0 and .handled and .handler_rip == 2'
bp "given back, and kicked before the guest runs: the handler finds the same" kicked \
	'.handled and .handler_rip == 1'
bp "given back, and disarmed before the guest runs: the handler finds the same" disarmed \
	'.handled and .handler_rip == 1'

for name in int3-2 int3-4 stop-2 stop-4 hotplug; do
	check "$name: exit code 0" ended $name 0
	check "$name: wrong 0, all batches applied, on KVM_EXIT_DEBUG" json $name \
		'.ok and .wrong == 0 and .pokes == 100 and .trap_route == "KVM_EXIT_DEBUG"'
	check "$name: the guest saw each int3 of its own" json $name \
		'.own_int3 > 0 and .own_int3 == .own_int3_seen'
	jq -c '{seconds, calls, wrong, own_int3, own_int3_seen, bp_exits, poke_us}' "$dir/$name" |
		sed "s/^/# $name: /"
done
# On one CPU who pokes has it, so that hardly anybody meets an int3 of ours: all demos count together.
jq -s 'map(.bp_exits) | {fixup: (map(.fixup) | add), emulate: (map(.emulate) | add), park: (map(.park) | add),
	foreign: (map(.foreign) | add)}' "$dir"/int3-{2,4} "$dir"/by-* >"$dir/kinds"
check "traps of all kinds happened" json kinds '.foreign > 0 and .fixup > 0 and .emulate > 0 and .park > 0'
for how in kick kick-membarrier membarrier; do
	check "by $how: wrong 0, and that is how it was done" json by-$how \
		".ok and .wrong == 0 and .pokes == 300 and .serializer == \"$how\""
	check "by $how: the guest saw each int3 of its own" json by-$how \
		'.own_int3 > 0 and .own_int3 == .own_int3_seen'
	jq -c '{serializer, seconds, calls, bp_exits, poke_us}' "$dir/by-$how" | sed "s/^/# by $how: /"
done
check "stop: no int3 of ours" json stop-4 '.bp_exits | .fixup + .emulate + .park == 0'
check "hotplug: vCPUs were added and removed" json hotplug \
	'.hotplug.added > 0 and .hotplug.removed > 0'

# With one CPU nobody runs while the naive writer writes.
[ "$cpus" -eq 1 ] || check "the negative control: naive stores are caught" json naive \
	'.naive and (.ok | not) and (.wrong > 0 or (.error | test("died|gave up")))'

batches=$(cut -d' ' -f1 "$dir/late-poke.code" 2>/dev/null)
check "late: pokes beside the guest's own int3" ended late-poke 0 "$batches"
check "late: and their reverts" ended late-revert 0 "$batches"
check "late: traps came late, others were given to the guest" json late-info \
	'.stats["bp-exits"] | .late > 0 and .foreign > 0'
jq -c .stats "$dir/late-info" | sed 's/^/# late: /'
check "late: each #BP of the guest, prefixed or not, came with RIP after its int3" ended late-guest 33
exit $failed
