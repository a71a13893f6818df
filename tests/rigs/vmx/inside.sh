#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ../vmx.sh runs on the emulated host: everything that depends on how int3s come out of KVM. It only
# shows what came of it; judge.sh looks at that outside, where a jq does not take two seconds.
set -u
vmpoke=/vmpoke/build/vmpoke
dir=$(mktemp -d)
sock=$dir/late.sock

# Run a command and show its output, each line behind "NAME> ", then its exit code: "NAME= CODE".
show() { # NAME COMMAND...
	local name=$1 code
	shift
	timeout 300 "$@" >"$dir/out" 2>&1
	code=$?
	sed "s/^/$name> /" "$dir/out"
	echo "$name= $code"
}

show doctor "$vmpoke" doctor --json
show bp /rig/bp
for vcpus in 2 4; do
	show int3-$vcpus "$vmpoke" demo --json --vcpus $vcpus --pokes 100
	show stop-$vcpus "$vmpoke" demo --json --vcpus $vcpus --pokes 100 --strategy stop
done
for how in kick kick-membarrier membarrier; do
	show by-$how "$vmpoke" demo --json --vcpus 4 --pokes 300 --serializer $how
done
show hotplug "$vmpoke" demo --json --vcpus 3 --pokes 100 --hotplug
show naive "$vmpoke" demo --json --vcpus 4 --pokes 100 --naive

# Late traps (S5): late.S removes its own int3 while others trap on it.
"$vmpoke" run --kernel /rig/built/late.elf --vcpus 4 --socket "$sock" >"$dir/console" 2>&1 &
pid=$!
for ((i = 0; i < 100; i++)); do
	grep -q up "$dir/console" && break
	sleep 0.1
done
# How many batches it takes until one comes late is chance.
for ((i = 1; i <= 64; i++)); do
	show late-poke "$vmpoke" poke "$sock" patched --old 0f1f440000 --new b811223344
	show late-revert "$vmpoke" revert "$sock"
	[ $((i % 8)) -eq 0 ] && "$vmpoke" info "$sock" --json | grep -q '"late": [1-9]' && break
done
show late-info "$vmpoke" info "$sock" --json
show late-remove "$vmpoke" vcpu remove "$sock" 0 --timeout 20000
wait $pid
echo "late-guest= $?"
sed 's/^/late-guest> /' "$dir/console"
