#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The QEMUs and the kernels that people run: each QEMU with one kernel, each kernel with one QEMU, in
# shapes of machine that differ. What is looked at is in tests/linux/checks-*.sh.
#
#	tests/integration/linux-matrix.sh [CELL...]
#
# 6.1 on this machine's QEMU is in linux.sh and its siblings. Two cells run at a time.
#	LINUX_KILLS=N	how often vmpoke is killed in each cell, by each way to the guest
set -u
here=$(cd "$(dirname "$0")" && pwd)
linux=$here/../linux
kills=${LINUX_KILLS:-3}

# Each cell: QEMU (of a suite of Debian, or this machine's own: 7.2 on Debian 12), kernel (kernel.sh),
# GUEST_THREAD, GUEST_VCPUS, arguments to QEMU.
declare -A cells=(
	[5.10]="own cloud-bullseye single 2 -cpu qemu64,+rdrand" # else it waits for random numbers
	[6.12]="trixie generic-6.12 multi 4 -m 6144"
	[7.2]="sid generic-sid multi 4 -machine q35 -cpu max -m 6144"
	[newest]="sid cloud-newest single 2"
)
order=(7.2 newest 5.10 6.12) # the two with a host thread for each vCPU not at once, if possible

# have WHAT COMMAND...: what it prints; if no mirror has it (77) the cell is skipped
have() {
	local what=$1 code
	shift
	"$@" 2>"$tmp/have"
	code=$?
	[ $code -ne 77 ] || echo "SKIP: $what: $(tr '\n' ' ' <"$tmp/have")" >&2
	[ $code -eq 0 ] || [ $code -eq 77 ] || echo "not ok - $what: $(tr '\n' ' ' <"$tmp/have")" >&2
	return $code
}

# What info tells of the guest itself.
told() { jq -cS '[.release, .banner, .build_id, .kaslr_slide, .phys_base, .symbols, .vcpus]' "$1"; } # FILE

run_cell() { # CELL
	local qemu kernel gdb qmp text args
	. "$linux/checks.sh"
	. "$linux/checks-guest.sh"
	. "$linux/checks-kill.sh"
	. "$linux/checks-host.sh"
	read -r qemu kernel GUEST_THREAD GUEST_VCPUS args <<<"${cells[$1]}"
	[ "$qemu" = own ] || GUEST_QEMU=$(have "QEMU of $qemu" "$linux/qemu.sh" "$qemu") || return
	have "Linux $1" "$linux/kernel.sh" "$kernel" >"$tmp/kernel" || return
	text="QEMU $("${GUEST_QEMU:-qemu-system-x86_64}" --version | sed -n 's/^QEMU.*version \([0-9.]*\).*/\1/p')"
	text+=", Linux $(cat "$(cat "$tmp/kernel")/release")"
	echo "# $text: $GUEST_VCPUS vCPUs, threads: $GUEST_THREAD${args:+, $args}"

	# On a busy host the kernel takes its TSC for unstable after a while, and patches itself.
	GUEST_APPEND=tsc=reliable
	# shellcheck disable=SC2086
	guest_start g "$kernel" $args && guest_symbols g
	ok "$text: boots" $? || return
	gdb=$(target g gdb) qmp=$(target g qmp)
	guest_watch
	check_info "$qmp" "$text, qmp"
	check "$text: the load is at work" guest_run g 'load start; load settle'
	cp "$tmp/info" "$tmp/info.qmp"
	check "$text, gdb, under load: info" vp info "$gdb" --json
	same "$text, gdb, under load: info: the same" "$(told "$tmp/check")" "$(told "$tmp/info.qmp")"
	check_symbols "$gdb" "$text, gdb"
	check_sym_read "$qmp" "$text, qmp"
	check_pokes "$gdb" "$text, gdb"
	check_keys "$qmp" "$text, qmp"
	check_kills gdb "$text, gdb" "$kills" 1
	check_kills qmp "$text, qmp" "$kills" 1
	check_life "$text"
	guest_run g 'load stop'
	check_leaks "$text"
	check_migration "$text"
	guest_stop g
	echo "# $text: $SECONDS s"
}

if [ "${1-}" = --cell ]; then
	run_cell "$2" 2>&1
	exit $failed
fi

[ $# -gt 0 ] || set -- "${order[@]}"
tmp=$(mktemp -d)
show() {
	local cell
	for cell; do
		[ ! -e "$tmp/$cell" ] || cat "$tmp/$cell"
	done
}
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$tmp"' EXIT
trap 'show "$@"; exit 1' INT TERM # what was found out so far
for cell; do
	[ -n "${cells[$cell]-}" ] || { echo "usage: linux-matrix.sh [${order[*]}]" >&2; exit 2; }
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n
	done
	{
		bash "$0" --cell "$cell" >"$tmp/$cell"
		code=$?
		if grep -q '^not ok' "$tmp/$cell"; then
			:
		elif [ $code -ne 0 ] || ! grep -qE '^(ok|SKIP)' "$tmp/$cell"; then
			echo "not ok - cell $cell ended with $code" >>"$tmp/$cell"
		fi
	} &
done
wait
show "$@"
! grep -q '^not ok' "$tmp"/*
