#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stock QEMU with KVM: on a host with kvm-amd that QEMU TCG emulates, this machine's QEMU runs stock Debian
# kernels, and the tests of Linux guests run on them as they do here under TCG.
#
#	tests/rigs/qemu-kvm.sh
#
#	ROUNDS=N	how often vmpoke is killed with -9 in mid `key set`, by each way to the guest (1)
#	KILLS_BY=qmp	by this way alone (gdb qmp own), see tests/linux/checks-kill.sh
#	KILLS_ONLY=1	and nothing else
#	KILLS_WHOLE=N	see there
#	KILL_CONTROL=1	the same switches under load, but nobody is killed
#	WORK_ONLY=N	no vmpoke: the guest works for N seconds, and is booted again when it dies
#	STOPS=1		with that: its owner stops it and lets it go on meanwhile; STOPS=look: and looks at its
#			registers in each stop
#	LINUX_SEED=N	see there
#	KERNEL=FLAVOUR	the kernel of the guest (cloud), see tests/linux/kernel.sh
#	VCPUS=N		how many vCPUs it has (3)
#	KVM_LIMIT=N	seconds until the host counts as hung (2300)
#
#	HOST_QEMU=PATH	what emulates the host (that of trixie)
#
# The console of the host is build/log/rig-qemu-kvm.console; a guest that fails shows its own there.
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=${VMPOKE:-build/rigs/vmpoke}
tmp=$(mktemp -d)
root=$tmp/root
name=${RIG_NAME:-rig-qemu-kvm}
guest=${KERNEL:-cloud}
host=
trap 'kill $host 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
. tests/rigs/lib.sh

programs=(socat jq timeout env od grep awk cmp sort cpio)
need qemu-system-x86_64 busybox xz "${programs[@]}"

# QEMU, its firmware, what the tests of Linux guests call, and what they compile.
guest_tools() {
	local program
	copy_qemu "$root" || return
	for program in "${programs[@]}"; do
		copy_program "$root" "$(command -v "$program")" "/usr/bin/$program" || return
	done
	cp -r tests/integration tests/linux "$root/vmpoke/tests/" &&
		install -D tests/rigs/cc "$root/rig/cc" && mkdir -p "$root/rig/built" &&
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -static -s -o "$root/rig/built/witness" \
			tests/linux/witness.c &&
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -static -s -o "$root/rig/built/shows" tests/linux/shows/*.c &&
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -o "$root/rig/built/keys" tests/linux/keys.c
}

# Where kernel.sh looks for it.
guest_kernel() { # FLAVOUR
	local folder
	folder=$(tests/linux/kernel.sh "$1" 2>"$tmp/log") &&
		mkdir -p "$root/vmpoke/build/rigs" && cp -r "$folder" "$root/vmpoke/build/rigs/"
}

# Without AVX: 7.2 and later use it though there is no XSAVE. Without pv-unhalt: a vCPU that waits for a
# spinlock is not halted, so HLT is an idle one.
settings() {
	cat <<-END
		export CC=/rig/cc TMPDIR=/tmp GUEST_LIMIT=300 VP_LIMIT=600 VMPOKE_TIMEOUT=60000
		export GUEST_ACCEL=kvm GUEST_CPU=host,kvm-pv-unhalt=off,-avx,-avx2,-f16c
		export GUEST_VCPUS=${VCPUS:-3} KERNEL=$guest
		export KILLS=${ROUNDS:-1} KILLS_BY="${KILLS_BY-gdb qmp own}"
		export KILLS_ONLY=${KILLS_ONLY-} KILL_CONTROL=${KILL_CONTROL-} KILLS_WHOLE=${KILLS_WHOLE:-1} WORK_ONLY=${WORK_ONLY-} STOPS=${STOPS-}
		export LINUX_SEED=${LINUX_SEED:-$$}
	END
}

svm_qemu
kernel=$(tests/linux/kernel.sh cloud 2>"$tmp/log") || give_up "no kernel" "$tmp/log"
mkdir -p build/log
host_root "$root" && svm_init "$root" tests/rigs/qemu-kvm/inside.sh && settings >"$root/rig/settings" && guest_tools &&
	cp -r "$kernel/modules" "$root/modules" && guest_kernel "$guest" &&
	three_together "$guest" "$root/rig/built/three-together.o" &&
	pack "$root" "$tmp/initrd" || give_up "cannot build the initramfs" "$tmp/log"
rm -rf "$root"
echo "# initramfs: $(($(stat -c %s "$tmp/initrd") >> 20)) MB"
svm_host "$name" 3072 "$kernel/vmlinuz" "$tmp/initrd" "${KVM_LIMIT:-2300}"
report_host "build/log/$name.console" | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
