#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install what the build needs, by Debian package name. Nothing missing: silent. Without root it
# prints the one command to run.
#
#	.ci/deps.sh [--linux|--tests] [PACKAGE...]	and what Linux guests under QEMU need, or what all
#							tests need; and these
set -u

packages=(
	gcc libc6-dev make binutils
	pkg-config libelf-dev libzydis-dev libzycore-dev libjansson-dev libsodium-dev libcmocka-dev
	zlib1g-dev liblzma-dev libzstd-dev liblz4-dev libbpf-dev libvirt-dev
)
# Linux guests under QEMU: the demo, tests/linux.
linux_packages=(qemu-system-x86 socat busybox-static cpio xz-utils jq)
# Only the tests need these.
test_packages=(
	clang clang-format g++ util-linux clang-tidy cppcheck libclang-rt-dev
	fish zsh # completions
	bochs bochsbios vgabios isolinux syslinux-common xorriso # tests/rigs
	patchelf						 # tests/linux
	python3							 # examples
	minisign						 # tests/integration/hotfix-sign.sh
	libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
	debootstrap # tests/first-hour
)

case ${1-} in
--linux) packages+=("${linux_packages[@]}") && shift ;;
--tests) packages+=("${linux_packages[@]}" "${test_packages[@]}") && shift ;;
esac
packages+=("$@") # what a caller needs besides

installed() {
	dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'
}

missing=()
for p in "${packages[@]}"; do
	installed "$p" || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
	echo "deps: not a Debian system; install what these packages hold: ${missing[*]}" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: run this once, then try again: sudo apt-get update && sudo $install" >&2
	exit 1
fi
echo "deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && $install -qq >/dev/null || {
	echo "deps: could not install: ${missing[*]}" >&2
	exit 1
}
