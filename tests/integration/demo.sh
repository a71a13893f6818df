#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vmpoke demo and vmpoke doctor, on the real KVM of this host.
set -u

vmpoke=${VMPOKE:-build/vmpoke}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
. tests/verdict.sh

# demo NAME OPTION...: run it into $dir/NAME.json; hang limit 10 minutes. Gives its exit code.
demo() {
	local name=$1
	shift
	timeout 600 "$vmpoke" demo --json "$@" >"$dir/$name.json" 2>"$dir/$name.err"
}

# json NAME FILTER: is FILTER true of that run? If not, show the run.
json() {
	jq -e "$2" "$dir/$1.json" >/dev/null 2>&1 && return
	cat "$dir/$1.json" "$dir/$1.err" >&2
	return 1
}

# refused CODE COMMAND...: it must end with CODE and one line on stderr, nothing on stdout.
refused() {
	local want=$1 code
	shift
	timeout 60 "$@" >"$dir/out" 2>"$dir/err"
	code=$?
	[ "$code" -eq "$want" ] && [ "$(wc -l <"$dir/err")" -eq 1 ] && ! [ -s "$dir/out" ] && return
	echo "# exit code $code, want $want:" >&2
	cat "$dir/out" "$dir/err" >&2
	return 1
}

command -v jq >/dev/null || { echo "not ok - jq is installed"; exit 1; }

# --- int3, four vCPUs ---
demo int3 --vcpus 4 --pokes 2000
check "int3, 4 vCPUs, 2000 batches: exit code 0" [ $? -eq 0 ]
check "int3: ok, nothing wrong, all batches applied" json int3 \
	'.ok and .wrong == 0 and .pokes == 2000 and .calls > 0 and .sites > .pokes'
check "int3: the guest saw each int3 of its own" json int3 \
	'.own_int3 > 0 and .own_int3 == .own_int3_seen'
check "int3: fixup, emulate, park and foreign traps happened" json int3 \
	'.bp_exits | .fixup > 0 and .emulate > 0 and .park > 0 and .foreign > 0'
check "int3: at most three syncs a batch" json int3 '.syncs > 0 and .syncs <= 3 * .pokes'
check "JSON has every promised key" json int3 '
	(["ok", "vcpus", "strategy", "trap_route", "serializer", "pokes", "sites", "calls",
	  "wrong", "own_int3", "own_int3_seen", "bp_exits", "poke_us", "naive", "seed",
	  "seconds", "syncs", "wrong_first"] - keys == []) and
	(.bp_exits | keys == ["emulate", "fixup", "foreign", "late", "park"]) and
	(.poke_us | keys == ["max", "median", "p99"]) and
	(.poke_us | .median > 0 and .median <= .p99 and .p99 <= .max) and
	.vcpus == 4 and .strategy == "int3" and .naive == false and .wrong_first == []'

# --- the other ways ---
demo stop --vcpus 4 --pokes 2000 --strategy stop
check "stop, 4 vCPUs, 2000 batches: exit code 0" [ $? -eq 0 ]
check "stop: ok, no int3 of ours" json stop \
	'.ok and .strategy == "stop" and .wrong == 0 and (.bp_exits | .fixup + .emulate + .park == 0)'
demo one --vcpus 1 --pokes 1000 --seed 7
check "1 vCPU, 1000 batches: ok" json one '.ok and .vcpus == 1 and .pokes == 1000 and .seed == 7'
demo hotplug --vcpus 3 --pokes 1000 --hotplug
check "vCPUs come and go during 1000 batches: exit code 0" [ $? -eq 0 ]
check "hotplug: ok, vCPUs were added and removed" json hotplug \
	'.ok and .hotplug.added > 0 and .hotplug.removed > 0'

# --- the negative control ---
caught=0
for seed in 1 2 3 4 5; do
	demo naive --vcpus 4 --pokes 5000 --naive --seed $seed && continue
	json naive '.naive and (.ok | not) and ((.wrong > 0 and (.wrong_first | length > 0)) or
		(.error | test("died|gave up")))' && caught=1 && break
done
check "naive stores are caught within 5 tries (seed $seed)" [ $caught -eq 1 ]

# --- text, help, bad options ---
timeout 60 "$vmpoke" demo --vcpus 2 --pokes 20 >"$dir/text"
check "without --json: a short report" grep -q '^ok: ' "$dir/text"
check "no progress line in a pipe" [ "$(grep -c $'\r' "$dir/text")" -eq 0 ]
check "demo --help" sh -c "'$vmpoke' demo --help | grep -q -- --hotplug"
check "--vcpus 0 is refused" refused 2 "$vmpoke" demo --vcpus 0
check "--vcpus 65 is refused" refused 2 "$vmpoke" demo --vcpus 65
check "--pokes -1 is refused" refused 2 "$vmpoke" demo --pokes -1
check "--strategy other is refused" refused 2 "$vmpoke" demo --strategy other
check "an unknown option is refused" refused 2 "$vmpoke" demo --bogus
check "an argument is refused" refused 2 "$vmpoke" demo now
check "demo without KVM: one line, exit code 6" refused 6 "$vmpoke" demo --kvm /nonexistent
check "an unknown command is refused" refused 2 "$vmpoke" bogus

# --- doctor ---
timeout 60 "$vmpoke" doctor >"$dir/text"
check "doctor: this host will do" [ $? -eq 0 ]
"$vmpoke" doctor --json >"$dir/doctor.json" 2>"$dir/doctor.err"
check "doctor --json names KVM, route and serializers" json doctor \
	'.ok and .module and .api_version == 12 and .trap_route != "none" and
	 (.serializers | index("kick"))'
"$vmpoke" doctor --kvm /nonexistent >"$dir/text"
check "doctor without KVM: exit code 6" [ $? -eq 6 ]
check "doctor without KVM says what to do" grep -q '^missing .*modprobe' "$dir/text"
"$vmpoke" doctor --kvm /nonexistent --json >"$dir/none.json" 2>"$dir/none.err"
check "doctor --json without KVM" json none '(.ok | not) and (.missing | length == 1)'
check "doctor --bogus is refused" refused 2 "$vmpoke" doctor --bogus

exit $failed
