#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The bench on a real upstream KVM: `vmpoke bench` on hosts with kvm-intel that Bochs emulates, VMX and all,
# one with one CPU and one with two. Time is a count of instructions there, so ratios repeat; the figures are
# no machine's. JSON as of `vmpoke bench --json`; consoles are in build/log/bench-vmx-*.console.
#
#	tests/bench/rig.sh [CPUS...]	default: 1 2
#
#	RIG_RUNS=N	rounds (3)
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=${VMPOKE:-build/rigs/vmpoke}
limit=${VMX_LIMIT:-2100} # seconds until a host counts as hung
export RIG_RUNS=${RIG_RUNS:-3}
tmp=$(mktemp -d)
root=$tmp/root
hosts=()
trap 'kill "${hosts[@]}" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
. tests/rigs/lib.sh

build_root() {
	host_root "$root" && mkdir -p "$root/rig" && install tests/rigs/vmx/init "$root/init" &&
		cp "$kernel"/modules/{irqbypass,kvm,kvm-intel}.ko "$root/rig/" &&
		install -D tests/bench/inside.sh "$root/vmpoke/tests/bench/inside.sh" || return
	echo "$RIG_RUNS" >"$root/rig/runs"
	echo tests/bench/inside.sh >"$root/rig/tests"
}

# What the host has printed, with what it was.
document() { # CPUS CONSOLE
	tr -d '\r' <"$2" | sed -n 's/^BENCH> //p' | jq --arg name "vmx-$1" --arg cpus "$1" '
		.environments[0] |= (. + {$name,
			what: "an emulated host with VMX and \($cpus) CPU(s): a stock kernel with kvm-intel under Bochs",
			command: "tests/bench/rig.sh \($cpus)",
			notes: (.notes + ["time is a count of instructions here: ratios repeat, times are no machine'"'"'s"])}) |
		.figures[].env = $name'
}

need bochs xorriso cpio busybox jq
mkdir -p build/log
kernel=$(tests/linux/kernel.sh cloud 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
build_root || give_up "cannot build the initramfs"
bochs_iso "$kernel/vmlinuz" "$root" "$tmp/rig.iso" || give_up "cannot make the ISO" "$tmp/log"
[ $# -gt 0 ] || set -- 1 2
for cpus; do
	bochs_start "build/log/bench-vmx-$cpus" "$cpus" 512 "$tmp/rig.iso" "$limit"
	hosts+=($!)
done
wait "${hosts[@]}"
hosts=()
for cpus; do
	console=build/log/bench-vmx-$cpus.console
	grep -aq '^RIG DONE' "$console" || { echo "rig.sh: the host with $cpus CPUs hung or died: $console" >&2 && exit 1; }
	document "$cpus" "$console" || { grep -av '^BENCH> ' "$console" | tail -n 20 >&2 && exit 1; }
done
