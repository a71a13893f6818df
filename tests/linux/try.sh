#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Linux guest to try things on, by hand.
#
#	tests/linux/try.sh FLAVOUR [QEMU-ARG...]	FLAVOUR: see kernel.sh
#
# Boots it (see guest.sh), prints its targets and gives a prompt whose commands run in the guest.
# The end of the input ends the guest.
set -u
. "$(dirname "$0")/guest.sh"
trap guest_cleanup EXIT
trap 'exit 1' INT TERM

[ $# -gt 0 ] || { echo "usage: try.sh FLAVOUR [QEMU-ARG...]" >&2; exit 2; }
guest_start guest "$@" || exit 1
dir=$(guest_dir guest)
cat <<END
QEMU is process $(guest_pid guest). Targets:
  qemu+gdb:$dir/gdb
  qemu+qmp:$dir/qmp
Console: $dir/console.log, socat - UNIX-CONNECT:$dir/console
In the guest: load start, load check, load stop, cat /run/witness
END
while read -r -e -p "guest# " command; do
	[ -n "$command" ] || continue
	guest_run guest "$command" || echo "(exit code $?)"
done
