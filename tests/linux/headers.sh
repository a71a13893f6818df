#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The headers of a stock Debian kernel, from their packages, without installing them.
#
#	tests/linux/headers.sh FLAVOUR	for the kernel that kernel.sh FLAVOUR gives: generic,
#					generic-6.12, cloud-bullseye, ...
#	tests/linux/headers.sh RELEASE	for this one: 6.1.0-50-amd64
#
# Prints the folder for `vmpoke hotfix build --headers`, in build/rigs/headers-*. They are fetched once.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/suite.sh

give_up() { # TEXT [LOG [EXIT-CODE]]; 77: they cannot be had
	echo "headers.sh: $1" >&2
	[ -s "${2-}" ] && sed 's/^/# /' "$2" >&2
	exit "${3-1}"
}

usage="usage: headers.sh FLAVOUR|RELEASE"
[ $# -eq 1 ] || give_up "$usage"
suite=
case $1 in
[0-9]*-amd64) release=$1 suite=$(suite_of "$1") ;;
[a-z]*)
	release=$(cat "$(tests/linux/kernel.sh "$1")/release") || give_up "no kernel $1" "" 77
	case $1 in
	*-[0-9]*) ;;
	*-newest) suite=experimental ;;
	*-*) suite=${1#*-} ;;
	esac
	;;
*) give_up "$usage" ;;
esac
headers=$PWD/build/rigs/headers-$release
new=$headers.new
dir=$headers/usr/src/linux-headers-$release

packages_of() { # PACKAGE
	suite_apt "$suite" apt-cache depends --recurse --important "$1" | grep -E '^linux-(headers|kbuild)-[0-9]'
}

download() {
	# shellcheck disable=SC2046 # the packages are words
	(cd "$new" && suite_apt "$suite" apt-get download $(packages_of "linux-headers-$release")) >"$new/log" 2>&1 &&
		compgen -G "$new/*.deb" >/dev/null
}

if [ ! -d "$headers" ]; then
	mkdir -p build/rigs
	exec 9>"$headers.lock"
	flock 9 # one fetches, the others wait
fi
if [ ! -d "$headers" ]; then
	trap 'rm -rf "$new"' EXIT
	rm -rf "$new" && mkdir "$new" || give_up "cannot make $new"
	download || { suite_update "$suite" && download; } ||
		{ [ "$suite" = experimental ] && suite=sid && suite_update sid && download; } ||
		give_up "cannot download linux-headers-$release" "$new/log" 77
	for package in "$new"/*.deb; do
		dpkg -x "$package" "$new/root" || give_up "cannot unpack $package"
	done
	mv -T "$new/root" "$headers" || give_up "cannot move $new/root to $headers"
fi
[ -d "$dir" ] || give_up "there is no $dir"
echo "$dir"
