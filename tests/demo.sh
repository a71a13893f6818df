#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make demo`: what vmpoke is for.
#
#	tests/demo.sh [KVM]	KVM: /dev/kvm, or where else it is
#
# Part 1, where there is a KVM: the code of a guest of our own is rewritten while its vCPUs run and check it.
# Part 2, everywhere: a program in a VM with a stock Debian kernel, under QEMU without KVM, shows a hole
# that this kernel has; a hotfix closes it while both run, and is taken back.
#
# Exit code: 0 if one of them was shown and nothing went wrong. Nothing is left but the kernel and its
# headers, in build/rigs.
set -u
cd "$(dirname "$0")/.." || exit 1
kvm=${1:-/dev/kvm}
vmpoke=$(realpath "${VMPOKE:-build/vmpoke}")
repo=$PWD

# A kernel that Debian has mended since, the smallest of its kind.
release=6.1.0-50-cloud-amd64
hotfix=real-signal-sender

export GUEST_PROGRAMS=shows GUEST_VCPUS=2
. tests/linux/guest.sh
tmp=$(mktemp -d) || exit 1
trap 'guest_cleanup; rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state
shown=0 failed=0

left_out() { # PART WHY
	echo "Part $1 is left out: $2"
}

give_up() { # TEXT
	echo "NOT ok: $1" >&2
	exit 1
}

# --- part 1 --------------------------------------------------------------------

part_1() {
	local found code demo=(demo --vcpus 4 --pokes 5000)
	found=$("$vmpoke" doctor --kvm "$kvm" 2>&1)
	code=$?
	if [ $code -eq 6 ]; then
		left_out 1 "$(sed -n 's/^missing *//p' <<<"$found" | head -n 1)"
		return
	fi
	echo "Part 1: the code of a KVM guest is rewritten while all its vCPUs run it, and check each call."
	[ "$kvm" = /dev/kvm ] || demo+=(--kvm "$kvm")
	[[ $found != *'poke with --strategy stop'* ]] || demo+=(--strategy stop) # its int3s do not reach us
	echo "host\$ vmpoke ${demo[*]}"
	"$vmpoke" "${demo[@]}" || failed=1
	shown=1
}

# --- part 2 --------------------------------------------------------------------

# Sets `headers`. What is missing goes to $tmp/why.
fetch() {
	local program missing=
	for program in "${GUEST_QEMU:-qemu-system-x86_64}" socat cpio /bin/busybox xz; do
		command -v "$program" >/dev/null || missing+=" $program"
	done
	if [ -n "$missing" ]; then
		echo "there is no$missing here; as root, .ci/deps.sh --linux installs what it needs" >"$tmp/why"
		return 1
	fi
	[ -d build/rigs/linux-$release ] && [ -d build/rigs/headers-$release ] ||
		echo "Part 2 needs Debian's kernel $release and its headers: 40 MB are fetched, once."
	tests/linux/kernel.sh $release >"$tmp/kernel" 2>"$tmp/err" &&
		headers=$(tests/linux/headers.sh $release 2>"$tmp/err") && return
	{
		sed -nE 's/^[a-z]+\.sh: (.*[^ ]) *$/\1;/p; s/^# E: (.*)/\1;/p' "$tmp/err" | head -n 2
		echo "once, a network is needed, and apt-get update"
	} | paste -sd ' ' >"$tmp/why"
	return 1
}

# A command on the host, run in $tmp.
host() { # vmpoke ARG...
	echo "host\$ $*"
	(cd "$tmp" && PATH=$(dirname "$vmpoke"):$PATH && timeout --foreground --kill-after=5 120 "$@" </dev/null) | sed 's/^/  /'
	[ "${PIPESTATUS[0]}" -eq 0 ] || give_up "vmpoke ended with ${PIPESTATUS[0]}"
}

# The program in the guest goes on all the time; wait until it says that.
guest_says() { # broken|fixed TEXT
	local line
	line=$(guest_run web1 "until tail -n 1 /run/said | grep -E ' $1|wrong'; do usleep 100000; done") &&
		[[ $line == *" $1" ]] || give_up "the program in the guest does not say \"$1\": $line"
	echo "guest: $line - $2"
}

part_2() {
	local begin cc=()
	fetch || { left_out 2 "$(cat "$tmp/why")" && return; }
	echo "Part 2: a hole in a stock Linux VM is closed from outside, while the VM runs."
	echo "  Debian's kernel $release boots, under QEMU without KVM, with $GUEST_VCPUS vCPUs ..."
	begin=$SECONDS
	guest_start web1 $release || give_up "the VM does not boot"
	shown=1
	cat <<-END
		  It is up after $((SECONDS - begin)) s. Its hole: a process that signals its process group can hide. With one member
		  of the group in another PID namespace, the kernel tells the others that the signal came from process 0,
		  nobody. Debian's later kernels are mended; tests/hotfixes/$hotfix.c is the mended function.
		  A program in the VM looks again and again, from here to the end. It says when, in seconds since boot.
	END
	echo "guest\$ shows $hotfix follow &"
	guest_run web1 "shows $hotfix follow >/run/said 2>&1 &" >"$tmp/out" || give_up "$(cat "$tmp/out")"
	guest_says broken "the sender is hidden"

	ln -s "$repo/tests/hotfixes/$hotfix.c" "$headers" "$(guest_dir web1)" "$tmp/"
	# On another Debian than the kernel's.
	command -v gcc-12 >/dev/null || cc=(--cc "$repo/tests/linux/cc.sh")
	host vmpoke hotfix build $hotfix.c --headers "$(basename "$headers")" "${cc[@]}" -o fix.o
	host vmpoke hotfix apply qemu+qmp:web1/qmp fix.o
	guest_says fixed "the sender is told"
	host vmpoke hotfix remove qemu+qmp:web1/qmp $hotfix
	guest_says broken "the sender is hidden, as before"
	echo "ok: closed and opened again under one program, which never stopped. The pauses are by QEMU's own account."
}

part_1
echo
part_2
[ $shown -eq 1 ] || give_up "nothing could be shown on this machine"
exit $failed
