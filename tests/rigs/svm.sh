#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Linux in our own VMM: a stock Debian kernel boots in `vmpoke run`, on a host with kvm-amd that QEMU
# TCG emulates. TCG raises no #BP intercept under SVM, so no int3 strategy here: vmx-linux.sh has it.
#
#	tests/rigs/svm.sh
#
#	HOST_QEMU=PATH	what emulates the host (that of trixie)
#
# The console of the host is build/log/rig-svm.console.
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=${VMPOKE:-build/rigs/vmpoke}
limit=${SVM_LIMIT:-1500} # seconds until the host counts as hung
tmp=$(mktemp -d)
root=$tmp/root
console=build/log/rig-svm.console
host=
trap 'kill $host 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
. tests/rigs/lib.sh

need cpio busybox xz
svm_qemu
kernel=$(tests/linux/kernel.sh generic 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
mkdir -p build/log
host_root "$root" && svm_init "$root" tests/rigs/svm/inside.sh &&
	cp -r "$kernel/modules" "$root/modules" && inner_guest "$root" "$kernel" &&
	extract_vmlinux "$kernel/vmlinuz" "$root/inner/vmlinux" &&
	pack "$root" "$tmp/initrd" || give_up "cannot build the initramfs"

svm_host rig-svm 2048 "$kernel/vmlinuz" "$tmp/initrd" "$limit"
report_host "$console" | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
