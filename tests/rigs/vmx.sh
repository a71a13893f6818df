#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The KVM tests on a real upstream KVM: a stock Debian kernel with kvm-intel on a host that Bochs
# emulates, VMX and all. Two such hosts at once, with one CPU and with two.
#
#	tests/rigs/vmx.sh [CPUS...]	default: 1 2
#
# Bochs' VMX leaves a guest for the host's interrupts only while the guest's own are on, so guests that
# loop must have them on: the test guest has, the small guests get another entry for it (vmx/sti.S).
# The kernel is kept in build/rigs; consoles are in build/log/rig-vmx-*.console.
set -u
cd "$(dirname "$0")/../.." || exit 1
rig=tests/rigs/vmx
vmpoke=${VMPOKE:-build/rigs/vmpoke}
limit=${VMX_LIMIT:-2100} # seconds until a host counts as hung
tests=("$rig/inside.sh" tests/integration/vmm.sh)
tmp=$(mktemp -d)
root=$tmp/root
hosts=()
trap 'kill "${hosts[@]}" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
. tests/rigs/lib.sh

build_guests() {
	local flags src name entry
	flags=(-nostdlib -static -no-pie -Iinclude -Wl,--build-id=none -Wl,-z,max-page-size=4096)
	mkdir -p "$root/rig/built"
	for src in tests/guests/*.S "$rig/late.S"; do
		name=$(basename "$src" .S)
		# abi looks at the flags that it is entered with.
		[ "$name" = abi ] && entry=() || entry=(-Wl,-e,rig_start "$rig/sti.S")
		"${CC:-gcc}" "${flags[@]}" -Wl,-T,tests/guests/guest.ld \
			-o "$root/rig/built/$name.elf" "$src" "${entry[@]}" || return
	done
	"${CC:-gcc}" "${flags[@]}" -Wl,-Ttext=0x1000 -Wl,-e,start \
		-o "$root/rig/built/low.elf" tests/guests/halt.S
}

build_root() {
	host_root "$root" && install -D tests/rigs/cc "$root/rig/cc" && install "$rig/init" "$root/init" &&
		copy_program "$root" "$(command -v setpriv)" /bin/setpriv &&
		cp "$kernel"/modules/{irqbypass,kvm,kvm-intel}.ko "$root/rig/" &&
		"${CC:-gcc}" -O1 -static -o "$root/rig/bp" "$rig/bp.c" || return
	cp -r tests/integration tests/guests "$root/vmpoke/tests/"
	printf '%s\n' "${tests[@]}" >"$root/rig/tests"
}

start_host() { # CPUS
	bochs_start "build/log/rig-vmx-$1" "$1" 512 "$tmp/rig.iso" "$limit"
	hosts+=($!)
}

# Judge what the host showed, and pass on what its tests said.
report() { # CPUS
	local console=build/log/rig-vmx-$1.console
	tr -d '\r' <"$console" >"$tmp/judged"
	"$rig/judge.sh" "$1" "$tmp/judged" 2>&1
	report_host "$console"
}

need bochs xorriso cpio busybox jq setpriv objcopy
mkdir -p build/log
# The kernel for virtual machines: smaller than the generic one.
kernel=$(tests/linux/kernel.sh cloud 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
build_guests && build_root || give_up "cannot build the initramfs"
bochs_iso "$kernel/vmlinuz" "$root" "$tmp/rig.iso" || give_up "cannot make the ISO" "$tmp/log"
[ $# -gt 0 ] || set -- 1 2
for cpus; do
	start_host "$cpus"
done
wait "${hosts[@]}"
hosts=()
for cpus; do
	report "$cpus" | sed -E "s/^(ok - |not ok - |SKIP: |# )/\1CPUs $cpus: /"
done | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
