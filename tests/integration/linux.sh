#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stock Debian kernels under this machine's QEMU, KASLR on, in several shapes: tests/linux/checks-guest.sh.
# Other QEMUs and kernels: linux-matrix.sh.
#
#	tests/integration/linux.sh [FLAVOUR...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-guest.sh"
. "$here/../linux/checks-told.sh"

check_guest() { # FLAVOUR TEXT [QEMU-ARG...]
	local flavour=$1 text=$2 gdb qmp
	shift 2
	guest_start g "$flavour" "$@" && guest_symbols g
	ok "$text: boots" $? || return
	gdb=$(target g gdb) qmp=$(target g qmp)
	guest_watch
	check_info "$qmp" "$text, qmp"
	guest_run g 'load start'
	check_info "$gdb" "$text, gdb, under load"
	check_symbols "$gdb" "$text"
	check_sym_read "$gdb" "$text, gdb"
	check_pokes "$gdb" "$text, gdb"
	check_keys "$qmp" "$text, qmp"
	[ "$flavour" != cloud ] || check_told "$text"
	guest_run g 'rmmod kvm' && guest_symbols g
	ok "$text: a module goes away" $?
	check_symbols "$qmp" "$text, qmp, without it"
	check_life "$text"
	guest_stop g
}

[ $# -gt 0 ] || set -- generic cloud rt
for flavour; do
	case $flavour in
	generic) check_guest generic "generic, 5 levels" -cpu max ;;
	cloud) GUEST_APPEND=pti=on check_guest cloud "cloud, PTI" ;;
	*) check_guest "$flavour" "$flavour" ;;
	esac
done
exit $failed
