#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The source that a stock Debian kernel was built of, from its package, without installing it.
#
#	tests/linux/source.sh RELEASE	6.1.0-50-amd64
#
# Prints its folder, build/rigs/source-VERSION. It is fetched once: 140 MB, 700 MB unpacked, since what no
# test compiles is left out.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/suite.sh

give_up() { # TEXT [LOG [EXIT-CODE]]; 77: it cannot be had
	echo "source.sh: $1" >&2
	[ -s "${2-}" ] && sed 's/^/# /' "$2" >&2
	exit "${3-1}"
}

[ $# -eq 1 ] && [[ $1 == [0-9]*-amd64 ]] || give_up "usage: source.sh RELEASE"
suite=$(suite_of "$1")

version_of() { suite_apt "$suite" apt-cache show "linux-image-$1" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1; }

version=$(version_of "$1")
if [ -z "$version" ]; then
	suite_update "$suite" && version=$(version_of "$1")
	[ -n "$version" ] || give_up "nobody knows which source linux-image-$1 is of" "" 77
fi
source=$PWD/build/rigs/source-$version
new=$source.new
package=linux-source-$(echo "$version" | cut -d. -f1,2)

if [ ! -d "$source" ]; then
	mkdir -p build/rigs
	exec 9>"$source.lock"
	flock 9 # one fetches, the others wait
fi
if [ ! -d "$source" ]; then
	trap 'rm -rf "$new"' EXIT
	rm -rf "$new" && mkdir -p "$new/root" || give_up "cannot make $new"
	(cd "$new" && suite_apt "$suite" apt-get download "$package=$version") >"$new/log" 2>&1 ||
		{ suite_update "$suite" && (cd "$new" && suite_apt "$suite" apt-get download "$package=$version") >"$new/log" 2>&1; } ||
		give_up "cannot download $package $version" "$new/log" 77
	dpkg -x "$new"/*.deb "$new/package" &&
		tar -C "$new/root" --strip-components=1 -xf "$new/package/usr/src/$package.tar.xz" \
			--wildcards --exclude='*/arch/[!x]*/*' --exclude='*/Documentation/*' --exclude='*/tools/*' \
			--exclude='*/drivers/gpu/*' --exclude='*/sound/*' || give_up "cannot unpack $package $version"
	mv -T "$new/root" "$source" || give_up "cannot move $new/root to $source"
fi
echo "$source"
