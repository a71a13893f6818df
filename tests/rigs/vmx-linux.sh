#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The int3 protocol on a real kernel under load: a stock Debian kernel in `vmpoke run`, on a host with
# VMX that Bochs emulates, where an int3 comes out as KVM_EXIT_DEBUG.
#
#	tests/rigs/vmx-linux.sh [CPUS]	of the emulated host; default 2
#
# The console of the host is build/log/rig-vmx-linux.console.
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=${VMPOKE:-build/rigs/vmpoke}
limit=${VMX_LIMIT:-2700} # seconds until the host counts as hung
tmp=$(mktemp -d)
root=$tmp/root
name=build/log/rig-vmx-linux
host=
trap 'kill $host 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
. tests/rigs/lib.sh

need bochs xorriso cpio busybox
# The kernel for virtual machines: smaller than the generic one. It is host and guest.
kernel=$(tests/linux/kernel.sh cloud 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
mkdir -p build/log
host_root "$root" && install tests/rigs/vmx-linux/init "$root/init" &&
	cp -r "$kernel/modules" "$root/modules" && inner_guest "$root" "$kernel" &&
	three_together cloud "$root/inner/three-together.o" ||
	give_up "cannot build the initramfs" "$tmp/log"
bochs_iso "$kernel/vmlinuz" "$root" "$tmp/rig.iso" || give_up "cannot make the ISO" "$tmp/log"
bochs_start "$name" "${1-2}" 768 "$tmp/rig.iso" "$limit"
host=$!
wait $host
host=
report_host "$name.console" | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
