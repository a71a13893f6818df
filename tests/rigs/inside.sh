#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What vmx.sh runs on the emulated host: everything that depends on how int3s come out of KVM.
# Numbers are small: an emulated CPU does some 30 million instructions a second.
set -u

vmpoke=/vmpoke/build/vmpoke
dir=$(mktemp -d)
failed=0
cpus=$(nproc)

# check TEXT COMMAND...: one line that says whether COMMAND succeeded.
check() {
	local text=$1
	shift
	if "$@"; then
		echo "ok - $text"
	else
		echo "not ok - $text"
		failed=1
	fi
}

# json NAME FILTER: is FILTER true of that output? If not, show it.
json() {
	jq -e "$2" "$dir/$1" >/dev/null 2>&1 && return
	sed 's/^/# /' "$dir/$1"
	return 1
}

vp() {
	timeout 60 "$vmpoke" "$@"
}

vp doctor --json >"$dir/doctor"
check "doctor: kvm_intel, trap route KVM_EXIT_DEBUG, foreign int3s can be given back" json doctor \
	'.ok and .module == "kvm_intel" and .trap_route == "KVM_EXIT_DEBUG" and .inject'

# How KVM reports and reinjects #BP: what docs/protocol.md, "Trap routes", says.
timeout 60 /rig/bp >"$dir/bp"
check "bp: all five cases ran" [ "$(wc -l <"$dir/bp")" -eq 5 ]
sed 's/^/# /' "$dir/bp"
bp() { # TEXT CASE FILTER
	jq "select(.case == \"$2\")" "$dir/bp" >"$dir/case"
	check "#BP: $1" json case "$3"
}
bp "reported as KVM_EXIT_DEBUG, exception 3, RIP and pc at the int3" plain \
	'.exit == 4 and .exception == 3 and .rip == 0 and .pc == 0'
bp "given back with RIP as it was, the handler finds RIP after the int3" plain \
	'.handled and .handler_rip == 1'
bp "given back with RIP moved, the handler finds it one too far" moved \
	'.handled and .handler_rip == 2'
bp "of an int3 with a prefix: RIP at the prefix, the handler's after both bytes" prefixed \
	'.exception == 3 and .rip == 0 and .pc == 0 and .handled and .handler_rip == 2'
bp "given back, and kicked before the guest runs: the handler finds the same" kicked \
	'.handled and .handler_rip == 1'
bp "given back, and disarmed before the guest runs: the handler finds the same" disarmed \
	'.handled and .handler_rip == 1'

# demo NAME POKES OPTION...: all that must hold of any demo.
demo() {
	local name=$1 pokes=$2
	shift 2
	timeout 300 "$vmpoke" demo --json --pokes "$pokes" "$@" >"$dir/$name" 2>&1
	check "$name: $pokes batches, exit code 0" [ $? -eq 0 ]
	check "$name: wrong 0, all batches applied, on KVM_EXIT_DEBUG" json "$name" \
		'.ok and .wrong == 0 and .pokes == '"$pokes"' and .trap_route == "KVM_EXIT_DEBUG"'
	check "$name: the guest saw each int3 of its own" json "$name" \
		'.own_int3 > 0 and .own_int3 == .own_int3_seen'
	jq -c '{seconds, calls, wrong, own_int3, own_int3_seen, bp_exits, poke_us}' "$dir/$name" |
		sed "s/^/# $name: /"
}

for vcpus in 2 4; do
	demo "int3-$vcpus" 60 --vcpus $vcpus
	# Two vCPUs on one CPU: who pokes has it, and nobody meets the int3s.
	rules='.fixup > 0 and .emulate > 0 and .park > 0'
	[ "$vcpus" -gt $((2 * cpus)) ] || [ "$cpus" -gt 1 ] || rules=true
	check "int3-$vcpus: fixup, emulate, park and foreign traps happened" json int3-$vcpus \
		".bp_exits | .foreign > 0 and $rules"
	demo "stop-$vcpus" 60 --vcpus $vcpus --strategy stop
	check "stop-$vcpus: no int3 of ours" json stop-$vcpus \
		'.bp_exits | .fixup + .emulate + .park == 0'
done
demo hotplug 60 --vcpus 3 --hotplug
check "hotplug: vCPUs were added and removed" json hotplug \
	'.hotplug.added > 0 and .hotplug.removed > 0'

# Late traps (S5): late.S removes its int3 while others trap on it.
sock=$dir/late.sock
vp run --kernel /rig/guests/late.elf --vcpus 4 --socket "$sock" >"$dir/console" 2>"$dir/messages" &
pid=$!
for ((i = 0; i < 100; i++)); do
	grep -q up "$dir/console" && break
	sleep 0.1
done
for ((i = 0; i < 20; i++)); do
	vp poke "$sock" patched --old 0f1f440000 --new b811223344 >>"$dir/pokes" 2>&1 || break
	vp revert "$sock" >>"$dir/pokes" 2>&1 || break
done
check "late: 20 batches and their reverts beside the guest's own int3" [ $i -eq 20 ]
vp info "$sock" --json >"$dir/late"
check "late: traps came late, others were given to the guest" json late \
	'.stats["bp-exits"] | .late > 0 and .foreign > 0'
jq -c '.stats' "$dir/late" | sed 's/^/# late: /'
vp vcpu remove "$sock" 0 --timeout 20000 >"$dir/remove" 2>&1
wait $pid
check "late: each #BP of the guest came with RIP after its int3" [ $? -eq 33 ]
[ $failed -eq 0 ] || sed 's/^/# /' "$dir/console" "$dir/messages" "$dir/pokes" "$dir/remove"
echo "# $cpus CPUs"
exit $failed
