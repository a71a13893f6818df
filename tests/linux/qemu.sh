#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stock QEMU of another suite of Debian, from its packages, without installing it.
#
#	tests/linux/qemu.sh SUITE	trixie, sid, ...
#
# Prints the path of what starts it (in build/qemu/SUITE), like any other program, without chroot and
# mounts: its own loader and libraries are written into its ELF header, its firmware is told by options.
# It is fetched once; two runs at once do not hurt.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/suite.sh

give_up() { # TEXT [LOG [EXIT-CODE]]; 77: it cannot be had
	echo "qemu.sh: $1" >&2
	[ -s "${2-}" ] && sed 's/^/# /' "$2" >&2
	exit "${3-1}"
}

[ $# -eq 1 ] || give_up "usage: qemu.sh SUITE"
root=$PWD/build/qemu/$1
new=$root.new
program=usr/bin/qemu-system-x86_64

# complete: all of it is here, and for this place.
complete() {
	[ "$(cat "$root/made-for" 2>/dev/null)" = "$root" ] && [ -x "$root/qemu-system-x86_64" ]
}

# With all that it depends on, down to the C library.
fetch() { # SUITE
	local packages=$new/packages
	mkdir -p "$packages/partial"
	suite_update "$1" || give_up "cannot fetch the lists of $1" "" 77
	suite_apt "$1" apt-get install --download-only -qq -o Dir::Cache::Archives="$packages" \
		qemu-system-x86 >"$new/log" 2>&1 ||
		give_up "cannot download qemu-system-x86 of $1" "$new/log" 77
	suite_unpack "$packages" './lib*/*' './usr/lib/x86_64-linux-gnu/*' "./$program" \
		'./usr/share/qemu/*' './usr/share/seabios/*' ||
		give_up "cannot unpack qemu-system-x86 of $1"
	mv "$packages/package"/* "$new/" && rm -r "$packages" "$new/log"
}

# Its loader, and where it and its libraries look for libraries. Bookworm has some in /lib.
settle() {
	local loader libs
	loader=$(cd "$new" && find . -name ld-linux-x86-64.so.2 -type f)
	libs=$(cd "$new" && find . -name '*.so.[0-9]*' -printf '%h\n' | sort -u)
	libs=$(echo "$libs" | sed "s|^\.|$root|" | paste -sd:)
	patchelf --set-interpreter "$root/${loader#./}" --force-rpath --set-rpath "$libs" \
		"$new/$program" || give_up "cannot tell qemu-system-x86_64 where its libraries are"
	cat >"$new/qemu-system-x86_64" <<-END
		#!/bin/sh
		export QEMU_MODULE_DIR="$root/usr/lib/x86_64-linux-gnu/qemu"
		exec "$root/$program" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "\$@"
	END
	chmod +x "$new/qemu-system-x86_64"
}

if ! complete; then
	mkdir -p build/qemu
	exec 9>"$root.lock"
	flock 9 # one fetches, the others wait
fi
if ! complete; then
	command -v patchelf >/dev/null || give_up "patchelf is missing: run .ci/deps.sh --tests"
	trap 'rm -rf "$new"' EXIT
	rm -rf "$new" && mkdir -p "$new"
	fetch "$1"
	settle
	echo "$root" >"$new/made-for"
	rm -rf "$root" && mv -T "$new" "$root" || give_up "cannot move $new to $root"
	version=$("$root/qemu-system-x86_64" --version 2>&1) || {
		rm "$root/made-for"
		give_up "qemu-system-x86_64 of $1 does not start: $version"
	}
fi
echo "$root/qemu-system-x86_64"
