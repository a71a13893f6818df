#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Linux guest to try things on, by hand.
#
#	tests/linux/try.sh FLAVOUR [QEMU-ARG...]
#
# Installs what it needs, boots it (see guest.sh), prints its targets and gives a prompt whose commands run
# in the guest; those that begin with ! run here, where $TARGET is the guest. The end of the input ends the guest.
set -u
. "$(dirname "$0")/guest.sh"
trap guest_cleanup EXIT
trap 'exit 1' INT TERM

case ${1:-} in
generic* | cloud* | rt* | [0-9]*.*) ;;
*)
	cat >&2 <<-END
		usage: try.sh FLAVOUR [QEMU-ARG...]
		FLAVOUR is of Debian's kernels: cloud, generic or rt; of another suite: cloud-sid; or a release: 6.1.0-28-amd64
	END
	[[ ${1:-} == @(-h|--help) ]]
	exit $(($? * 2))
	;;
esac
"$guest_here/../../.ci/deps.sh" qemu-system-x86 socat busybox-static cpio xz-utils jq || exit 1
guest_start guest "$@" || exit 1
dir=$(guest_dir guest)
export TARGET=qemu+qmp:$dir/qmp PATH=$guest_here/../../build:$PATH
cat <<END
QEMU is process $(guest_pid guest). Targets:
  qemu+gdb:$dir/gdb
  $TARGET
Console: $dir/console.log, socat - UNIX-CONNECT:$dir/console
In the guest: load start, load check, load stop, cat /run/witness
On the host: !vmpoke info \$TARGET
END
while read -r -e -p "guest# " command; do
	case $command in
	'') ;;
	!*) bash -c "${command#!}" </dev/null || echo "(exit code $?)" ;;
	*) guest_run guest "$command" || echo "(exit code $?)" ;;
	esac
done
