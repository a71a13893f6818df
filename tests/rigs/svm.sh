#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Linux in our own VMM: a stock Debian kernel boots in `vmpoke run`, on a host with kvm-amd that QEMU
# TCG emulates. TCG raises no #BP intercept under SVM, so no int3 strategy here: vmx-linux.sh has it.
#
#	tests/rigs/svm.sh
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

need qemu-system-x86_64 cpio busybox xz
kernel=$(tests/linux/kernel.sh generic 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
mkdir -p build/log
host_root "$root" && install tests/rigs/svm/init "$root/init" &&
	cp -r "$kernel/modules" "$root/modules" && inner_guest "$root" "$kernel" &&
	extract_vmlinux "$kernel/vmlinuz" "$root/inner/vmlinux" &&
	pack "$root" "$tmp/initrd" || give_up "cannot build the initramfs"

# Without SMAP: QEMU 7.2's iretq at CPL 3 reads the user's stack as the kernel would, and faults.
# Without XSAVE: its xsetbv is not intercepted, so KVM does not know the sizes that CPUID is to tell.
rm -f "$console"
timeout --kill-after=5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none \
	-no-reboot -accel tcg -cpu EPYC,+svm,+npt,-smap,-xsave -smp 2 -m 2048 \
	-kernel "$kernel/vmlinuz" -initrd "$tmp/initrd" \
	-append "console=ttyS0 quiet panic=-1 mitigations=off audit=0" \
	-serial file:"$console" </dev/null >build/log/rig-svm.qemu 2>&1 &
host=$!
wait $host
host=
report_host "$console" | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
