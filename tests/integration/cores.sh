#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A million site writes into code that two real cores execute (docs/cores.md).
#
#   CORES_SITES=N	how many, with membarrier; of the other serializers a quarter
set -u

cores=${CORES:-build/tests/cores}
sites=${CORES_SITES:-1000000}
native=1000000 # calls per second; a KVM that emulates makes some ten thousand
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
. tests/verdict.sh

# run NAME PROGRAM OPTION...: its report goes into $dir/NAME. Gives its exit code.
run() {
	local name=$1
	shift
	timeout 800 "$@" >"$dir/$name" 2>"$dir/$name.err"
}

# json NAME FILTER: is FILTER true of that report? If not, show it.
json() {
	jq -e "$2" "$dir/$1" >/dev/null 2>&1 && return
	cat "$dir/$1" "$dir/$1.err" >&2
	return 1
}

# caught NAME PROGRAM OPTION...: does it see a wrong call, with one of a few seeds?
caught() {
	local name=$1 seed
	shift
	for seed in 1 2 3 4 5; do
		run "$name" "$@" --until-wrong --seed $seed
		jq -r '"# \(.wrong) wrong after \(.sites) sites \(.error)"' "$dir/$name"
		jq -e '.wrong > 0' "$dir/$name" >/dev/null && return
	done
	cat "$dir/$name.err" >&2
	return 1
}

command -v jq >/dev/null || { echo "not ok - jq is installed"; exit 1; }
if [ "$(nproc)" -lt 2 ]; then
	echo "SKIP: one core only: nobody executes while it is written"
	exit 0
fi
if ! run idle "$cores" --sites 0; then
	cat "$dir/idle.err"
	echo "not ok - the guest runs its workers at CPL 3"
	exit 1
fi
if ! jq -e ".calls_per_second > $native" "$dir/idle" >/dev/null; then
	echo "SKIP: this KVM does not run CPL 3 natively:" \
		"$(jq '.calls_per_second | floor' "$dir/idle") calls per second"
	exit 0
fi
echo "ok - CPL 3 runs natively: $(jq '.calls_per_second | floor' "$dir/idle") calls per second"

# written HOW SITES: so many, and vCPUs serialize that way.
written() {
	local how=$1 sites=$2
	run "$how" "$cores" --sites "$sites" --serializer "$how"
	check "$how: $sites site writes: exit code 0" [ $? -eq 0 ]
	jq -r '"# \(.serializer): \(.batches) batches, \(.sites) sites, \(.calls) calls, \(.wrong) wrong, \(.bp_exits); " +
		"\(.seconds | floor) s, \(.cpu_seconds | floor) s of CPU"' "$dir/$how"
	check "$how: all of them, no call was wrong" json "$how" \
		".error == \"\" and .sites >= $sites and .wrong == 0 and .serializer == \"$how\""
	check "$how: that is how it was done" json "$how" \
		'.serializer as $how | {"kick": (.kicks > .batches and .membarriers == 0),
		 "kick-membarrier": (.kicks > 0 and .membarriers > .batches),
		 "membarrier": (.membarriers > .batches and .kicks < .syncs)} | .[$how]'
	check "$how: every site holds what was written last" json "$how" '.changed_sites == 0'
	check "$how: every vCPU ran; more calls than site writes" json "$how" \
		'.idle_vcpus == 0 and .calls > .sites'
	check "$how: the guest saw each int3 of its own" json "$how" \
		'.own_int3 > 0 and .own_int3 == .own_int3_seen'
	check "$how: cores ran into our int3s; and into the guest's" json "$how" \
		'.bp_exits | .fixup + .emulate + .park + .late > 0 and .foreign > 0'
}
written membarrier "$sites"
written kick $((sites / 4))
check "kick: of all kinds: fixup, emulate, park" json kick \
	'.bp_exits | .fixup > 0 and .emulate > 0 and .park > 0'
written kick-membarrier $((sites / 4))

check "naive stores are caught" caught naive "$cores" --naive --sites 5000000
# By membarrier, as no vCPU leaves the guest meanwhile.
check "heads before tails are caught" caught mutant "$cores-head-before-tail" --sites 1000000 \
	--serializer membarrier

exit $failed
