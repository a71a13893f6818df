#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What patching costs, side by side, in every environment that this machine has: `make bench`. Tests judge
# none of it. Figures: build/bench/bench.json; plots: build/bench/bench.html; docs/performance.md.
#
#	RUNS=N		rounds (10)
#	AGAINST=FILE	another vmpoke, say of an older commit: its demo beside ours
#	RIG=1		also on emulated hosts with VMX, where time is a count of instructions: minutes
#	ONLY="own cores qemu rig"	these alone
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=${VMPOKE:-build/vmpoke}
runs=${RUNS:-10}
only=${ONLY:-own cores qemu ${RIG:+rig}}
out=build/bench
parts=()

# One part; what it lacks is a line, and the others go on.
part() { # NAME TEXT COMMAND...
	local name=$1 text=$2
	shift 2
	[[ " $only " == *" $name "* ]] || return
	echo "# $text" >&2
	if "$@" >"$out/$name.json"; then
		parts+=("$out/$name.json")
	else
		echo "# not measured: $name" >&2
		failed=1
	fi
}

failed=0
mkdir -p $out
if [ -w /dev/kvm ]; then
	part own "our own VMM, in kernel mode" "$vmpoke" bench --runs "$runs" ${AGAINST:+--against "$AGAINST"} --json
	part cores "real cores, at CPL 3" build/tests/bench-cores --runs "$runs"
else
	echo "# no /dev/kvm: int3 and stop are not measured" >&2
fi
part qemu "a guest of QEMU, beside gdb" tests/bench/qemu.sh "$runs"
part rig "emulated hosts with VMX" tests/bench/rig.sh
[ ${#parts[@]} -gt 0 ] || { echo "bench: nothing could be measured" >&2 && exit 1; }
cat "${parts[@]}" >$out/all.json
"$vmpoke" bench --from $out/all.json --output $out/bench.json --html $out/bench.html
rm $out/all.json
echo "# load now: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) cores; $out/bench.json, $out/bench.html"
exit $failed
