#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stock Debian kernel, from its package, without installing it.
#
#	tests/linux/kernel.sh FLAVOUR	generic, cloud, rt, generic-6.12
#
# Prints the folder that holds it (build/rigs/linux-FLAVOUR): vmlinuz, config, release, and modules/
# with what the tests load. It is fetched once; two runs at once do not hurt.
set -u
cd "$(dirname "$0")/../.." || exit 1

modules=(
	irqbypass kvm kvm-intel kvm-amd ccp
	virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console
)

give_up() { # TEXT [LOG]
	echo "kernel.sh: $1" >&2
	[ $# -gt 1 ] && sed 's/^/# /' "$2" >&2
	exit 1
}

case ${1-} in
generic) meta=linux-image-amd64 ;;
cloud) meta=linux-image-cloud-amd64 ;;
rt) meta=linux-image-rt-amd64 ;;
generic-6.12) meta=linux-image-6.12-amd64 ;;
*) give_up "usage: kernel.sh generic|cloud|rt|generic-6.12" ;;
esac
kernel=$PWD/build/rigs/linux-$1
new=$kernel.new

# The newest kernel that a meta package stands for.
fetch() { # META
	local package log=$new/log
	package=$(apt-cache depends "$1" 2>"$log" | awk '/Depends: linux-image-/ {print $2; exit}')
	[ -n "$package" ] || give_up "apt knows no $1: run apt-get update" "$log"
	(cd "$new" && apt-get download "$package") >"$log" 2>&1 ||
		give_up "cannot download $package: run apt-get update" "$log"
	mkdir "$new/package" && dpkg --fsys-tarfile "$new"/*.deb |
		tar x -C "$new/package" --wildcards './boot/*' '*.ko*' ||
		give_up "cannot unpack $package"
	rm "$new"/*.deb
}

# What is built into this kernel has no file; without type information and symbols of the debugger,
# which take long to read.
keep_modules() {
	local module file
	for module in "${modules[@]}"; do
		file=$(find "$new/package/lib/modules" -name "$module.ko*")
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
	rm -rf "$new" && mkdir -p "$new/modules"
	fetch "$meta"
	keep_modules
	mv "$new"/package/boot/vmlinuz-* "$new/vmlinuz" || give_up "$meta holds no vmlinuz"
	mv "$new"/package/boot/config-* "$new/config"
	basename "$new"/package/lib/modules/* >"$new/release"
	rm -rf "$new/package" "$new/log"
	echo "${modules[*]}" >"$new/wanted"
	rm -rf "$kernel" && mv -T "$new" "$kernel" || give_up "cannot move $new to $kernel"
fi
echo "$kernel"
