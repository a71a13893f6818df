#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All modules of a stock Debian kernel, from its package, without installing it.
#
#	tests/linux/modules.sh RELEASE	6.1.0-50-amd64
#
# Prints the folder lib/modules/RELEASE of it, in build/rigs/modules-RELEASE; `depmod` has been there. It is
# fetched once: 70 MB, 400 MB unpacked.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/suite.sh

give_up() { # TEXT [LOG [EXIT-CODE]]; 77: they cannot be had
	echo "modules.sh: $1" >&2
	[ -s "${2-}" ] && sed 's/^/# /' "$2" >&2
	exit "${3-1}"
}

[ $# -eq 1 ] && [[ $1 == [0-9]*-amd64 ]] || give_up "usage: modules.sh RELEASE"
suite=$(suite_of "$1")
modules=$PWD/build/rigs/modules-$1
new=$modules.new
dir=$modules/lib/modules/$1

download() { (cd "$new" && suite_apt "$suite" apt-get download "linux-image-$1") >"$new/log" 2>&1; }

if [ ! -d "$modules" ]; then
	mkdir -p build/rigs
	exec 9>"$modules.lock"
	flock 9 # one fetches, the others wait
fi
if [ ! -d "$modules" ]; then
	trap 'rm -rf "$new"' EXIT
	rm -rf "$new" && mkdir "$new" || give_up "cannot make $new"
	download "$1" || { suite_update "$suite" && download "$1"; } ||
		give_up "cannot download linux-image-$1" "$new/log" 77
	dpkg -x "$new"/*.deb "$new/root" || give_up "cannot unpack linux-image-$1"
	busybox depmod -b "$new/root" "$1" || give_up "depmod fails"
	mv -T "$new/root" "$modules" || give_up "cannot move $new/root to $modules"
fi
[ -d "$dir" ] || give_up "there is no $dir"
echo "$dir"
