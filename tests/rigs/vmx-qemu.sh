#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stock QEMU with KVM and libvmpoke-kvm.so: on a host with VMX that Bochs emulates, this machine's QEMU runs a
# stock Debian kernel, which is patched without a stop.
#
#	tests/rigs/vmx-qemu.sh [CPUS]	of the emulated host; default 2
#
# The console of the host is build/log/rig-vmx-qemu-CPUS.console.
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=${VMPOKE:-build/rigs/vmpoke}
limit=${VMX_LIMIT:-2700} # seconds until the host counts as hung
cpus=${1-2}
tmp=$(mktemp -d)
root=$tmp/root
name=build/log/rig-vmx-qemu-$cpus
host=
trap 'kill $host 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
. tests/rigs/lib.sh

need bochs xorriso cpio busybox qemu-system-x86_64 socat
kernel=$(tests/linux/kernel.sh cloud 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
mkdir -p build/log
host_root "$root" && install tests/rigs/vmx-linux/init "$root/init" && echo vmx-qemu >"$root/test" &&
	copy_program "$root" "${PRELOAD:-build/libvmpoke-kvm.so}" /vmpoke/build/libvmpoke-kvm.so &&
	copy_qemu "$root" && copy_program "$root" "$(command -v socat)" /usr/bin/socat &&
	cp -r "$kernel/modules" "$root/modules" && inner_guest "$root" "$kernel" &&
	three_together cloud "$root/inner/three-together.o" ||
	give_up "cannot build the initramfs" "$tmp/log"
bochs_iso "$kernel/vmlinuz" "$root" "$tmp/rig.iso" || give_up "cannot make the ISO" "$tmp/log"
bochs_start "$name" "$cpus" 1024 "$tmp/rig.iso" "$limit"
host=$!
wait $host
host=
report_host "$name.console" | sed "s/^\(ok\|not ok\) - /&CPUs $cpus: /" | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
