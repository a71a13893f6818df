#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The QEMUs and the kernels that people run: each QEMU with one kernel, each kernel with one QEMU, in
# shapes of machine that differ. What is looked at is in tests/linux/checks-*.sh.
#
#	tests/integration/linux-matrix.sh [CELL...]
#
# 6.1 on this machine's QEMU is in linux.sh and its siblings. Two cells run at a time.
#	LINUX_KILLS=N	how often vmpoke is killed in each cell, by each way to the guest
#
# A cell that failed leaves in build/log what its guest and its QEMU said. SIGTERM and SIGINT, which are
# no matter of QEMUs or kernels, are in linux-kill.sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
linux=$here/../linux
kills=${LINUX_KILLS:-2}

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

# In hundredths of a second: QEMU, and the programs of this test that have ended.
cpu_time() { # PID
	local cpu
	cpu=$(awk '{print $14 + $15 + $16 + $17}' "/proc/$$/stat")
	[ -z "$1" ] || [ ! -e "/proc/$1/stat" ] || cpu=$((cpu + $(awk '{print $14 + $15}' "/proc/$1/stat")))
	echo "$cpu"
}

# What a guest that failed has said, for whoever wants to know why.
keep() { # PATH
	[ -e "$(guest_dir g)/qemu.log" ] || return
	mkdir -p "$(dirname "$1")"
	cp "$(guest_dir g)/console.log" "$1.console"
	cp "$(guest_dir g)/qemu.log" "$1.qemu"
	GUEST_LIMIT=20 guest_run g 'dmesg -r' >"$1.dmesg" # it may not answer any more
	guest_show g
}

# part NAME: what follows; how long each part took, and how much of that on a CPU, is in `parts`.
parts='' part_name='' part_wall=0 part_cpu=0
part() {
	local wall=${EPOCHREALTIME/./} cpu
	cpu=$(cpu_time "$(guest_pid g 2>/dev/null)")
	[ -z "$part_name" ] ||
		parts+="$(printf '%s %d (%d), ' "$part_name" $(((wall - part_wall) / 1000000)) $(((cpu - part_cpu) / 100)))"
	part_name=$1 part_wall=$wall part_cpu=$cpu
}

run_cell() { # CELL
	local qemu kernel gdb qmp text args
	. "$linux/checks.sh"
	. "$linux/checks-guest.sh"
	. "$linux/checks-kill.sh"
	. "$linux/checks-host.sh"
	. "$linux/checks-hotfix.sh"
	read -r qemu kernel GUEST_THREAD GUEST_VCPUS args <<<"${cells[$1]}"
	[ "$qemu" = own ] || GUEST_QEMU=$(have "QEMU of $qemu" "$linux/qemu.sh" "$qemu") || return
	have "Linux $1" "$linux/kernel.sh" "$kernel" >"$tmp/kernel" || return
	have "the headers of Linux $1" "$linux/headers.sh" "$kernel" >"$tmp/headers" || return
	text="QEMU $("${GUEST_QEMU:-qemu-system-x86_64}" --version | sed -n 's/^QEMU.*version \([0-9.]*\).*/\1/p')"
	text+=", Linux $(cat "$(cat "$tmp/kernel")/release")"
	echo "# $text: $GUEST_VCPUS vCPUs, threads: $GUEST_THREAD${args:+, $args}"

	# On a busy host the kernel takes its TSC for unstable after a while, and patches itself
	# (sched_clock), under our eyes.
	GUEST_APPEND=tsc=reliable
	part boot
	# shellcheck disable=SC2086
	guest_start g "$kernel" $args && guest_symbols g
	ok "$text: boots" $? || return
	gdb=$(target g gdb) qmp=$(target g qmp)
	guest_watch
	part info
	check_info "$qmp" "$text, qmp"
	part settle
	check "$text: the load is at work" guest_run g 'load start; load settle'
	part symbols
	cp "$tmp/info" "$tmp/info.qmp"
	check "$text, gdb, under load: info" vp info "$gdb" --json
	same "$text, gdb, under load: info: the same" "$(told "$tmp/check")" "$(told "$tmp/info.qmp")"
	check_symbols "$gdb" "$text, gdb"
	check_sym_read "$qmp" "$text, qmp"
	part pokes
	check_pokes "$gdb" "$text, gdb"
	part keys
	check_keys "$qmp" "$text, qmp"
	part hotfix
	check "$text: a hotfix for it is built" vp hotfix build "$hotfix_folder/three-together.c" \
		--headers "$(cat "$tmp/headers")" --cc "$linux/cc.sh" -o "$tmp/three-together.o"
	check_hotfix "$qmp" "$text, qmp" "$tmp/three-together.o"
	part kills-gdb
	check_kills gdb "$text, gdb" "$kills" 0
	part kills-qmp
	check_kills qmp "$text, qmp" "$kills" 0
	part life
	check_life "$text"
	guest_run g 'load stop'
	part leaks
	check_leaks "$text"
	part migration
	check_migration "$text"
	part end
	echo "# $text: $SECONDS s, and in s (of CPU): ${parts%, }"
}

if [ "${1-}" = --cell ]; then
	run_cell "$2" 2>&1
	[ $failed -eq 0 ] || keep "$here/../../build/log/matrix-$2"
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
