#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stock Debian kernel, from its package, without installing it.
#
#	tests/linux/kernel.sh FLAVOUR	generic, cloud, rt: of the machine's own suite of Debian;
#					generic-6.12: a newer one for it;
#					generic-sid, cloud-bullseye, ...: of another suite;
#					cloud-newest: of experimental, or of sid if that has none
#	tests/linux/kernel.sh RELEASE	this one: 6.1.0-50-amd64
#
# Prints the folder that holds it (build/rigs/linux-FLAVOUR, or -RELEASE): vmlinuz, config, release, and modules/
# with what the tests load. It is fetched once; two runs at once do not hurt.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/suite.sh

modules=(
	irqbypass kvm kvm-intel kvm-amd ccp
	virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console
)

give_up() { # TEXT [LOG [EXIT-CODE]]; 77: it cannot be had
	echo "kernel.sh: $1" >&2
	[ -s "${2-}" ] && sed 's/^/# /' "$2" >&2
	exit "${3-1}"
}

usage="usage: kernel.sh generic|cloud|rt[-SUITE|-newest], generic-6.12, or a release"
[ $# -eq 1 ] || give_up "$usage"
suite=
case ${1%%-*} in
generic) meta=linux-image-amd64 ;;
cloud | rt) meta=linux-image-${1%%-*}-amd64 ;;
[0-9]*.*) meta=linux-image-$1 ;;
*) give_up "$usage" ;;
esac
case $1 in
generic-6.12) meta=linux-image-6.12-amd64 ;;
[0-9]*-amd64) suite=$(suite_of "$1") ;;
[0-9]*) give_up "$usage" ;;
*-?*) suite=${1#*-} ;;
*-) give_up "$usage" ;;
esac
kernel=$PWD/build/rigs/linux-$1
new=$kernel.new

# The packages that a meta package stands for: from 7.2 on the kernel, its modules and its
# configuration have one each, and linux-image is empty.
packages_of() { # SUITE META
	suite_apt "$1" apt-cache depends --recurse --important "$2" |
		grep -E '^linux-(image|binary|modules|base)-[0-9]'
}

download() { # SUITE META
	packages=$(packages_of "$1" "$2" 2>"$new/log" | tr '\n' ' ')
	# shellcheck disable=SC2086
	[ -n "$packages" ] && (cd "$new" && suite_apt "$1" apt-get download $packages) >"$new/log" 2>&1
}

fetch() { # SUITE META
	local suite=$1 packages=
	if [ "$suite" = newest ]; then
		suite=experimental
		suite_update "$suite" && [ -n "$(packages_of "$suite" "$2" 2>/dev/null)" ] || suite=sid
	fi
	# The machine's own lists are fetched only if they do not do: they are not ours.
	[ -z "$suite" ] && download "" "$2" || { suite_update "$suite" && download "$suite" "$2"; } ||
		give_up "cannot download $2${suite:+ of $suite}: ${packages:-no such package}" "$new/log" 77
	suite_unpack "$new" './boot/*' './usr/lib/modules/*/vmlinuz' './usr/lib/modules/*/config' \
		'*.ko*' || give_up "cannot unpack $packages"
}

# What is built into this kernel has no file; without type information and symbols of the debugger,
# which take long to read.
keep_modules() {
	local module file
	for module in "${modules[@]}"; do
		file=$(find "$new/package" -name "$module.ko*")
		case $file in
		'') continue ;;
		*.xz) xz -d "$file" ;;
		esac
		objcopy -g -R .BTF "${file%.xz}" "$new/modules/$module.ko" ||
			give_up "cannot strip $module.ko"
	done
}

# complete: all of it is here, and was made with the same list.
complete() {
	[ "$(cat "$kernel/wanted" 2>/dev/null)" = "${modules[*]}" ]
}

if ! complete; then
	mkdir -p build/rigs
	exec 9>"$kernel.lock"
	flock 9 # one fetches, the others wait
fi
if ! complete; then
	trap 'rm -rf "$new"' EXIT
	rm -rf "$new" && mkdir -p "$new/modules"
	fetch "$suite" "$meta"
	keep_modules
	for what in vmlinuz config; do
		find "$new/package" -type f \( -name $what -o -name "$what-*" \) \
			-exec mv {} "$new/$what" \;
		[ -s "$new/$what" ] || give_up "$meta holds no $what"
	done
	release=$(find "$new/package" -path '*/lib/modules/*/kernel' -prune)
	basename "${release%/kernel}" >"$new/release"
	rm -rf "$new/package" "$new/log"
	echo "${modules[*]}" >"$new/wanted"
	rm -rf "$kernel" && mv -T "$new" "$kernel" || give_up "cannot move $new to $kernel"
fi
echo "$kernel"
