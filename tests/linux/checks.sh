#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the tests of Linux guests share: they source this file, which sources guest.sh. What it says of
# a guest it has from the guest itself or from QEMU, never from vmpoke.

. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"
vmpoke=${VMPOKE:-$guest_here/../../build/vmpoke}
tmp=$(mktemp -d)
. "$(dirname "${BASH_SOURCE[0]}")/../verdict.sh"
trap 'guest_cleanup; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

# vmpoke's ledgers and marks: nothing of the user's, nothing left behind.
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state

# --- verdicts ----------------------------------------------------------------

# check TEXT COMMAND...: it must succeed; if not, what it printed is shown.
check() {
	local text=$1 code
	shift
	"$@" >"$tmp/check" 2>&1
	code=$?
	ok "$text" $code
	[ $code -eq 0 ] || tail -n 10 "$tmp/check" | sed 's/^/#  /'
}

# until_true SECONDS COMMAND...: try it until it succeeds.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# --- vmpoke ------------------------------------------------------------------

vp() { timeout --kill-after=5 "${VP_LIMIT:-60}" "$vmpoke" "$@" </dev/null; }

# refused TEXT PART COMMAND...: vmpoke must fail, with one line on stderr that holds PART, and in time.
# Its exit code stays in `exit_code`.
refused() {
	local text=$1 part=$2
	shift 2
	vp "$@" >"$tmp/out" 2>"$tmp/err"
	exit_code=$?
	[ $exit_code -ne 0 ] && [ $exit_code -lt 124 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] &&
		grep -qi -- "$part" "$tmp/err"
	ok "$text" $?
	echo "#  exit code $exit_code: $(cat "$tmp/err")"
}

target() { # NAME gdb|qmp
	echo "qemu+$2:$(guest_dir "$1")/$2"
}

# --- the guest ---------------------------------------------------------------

# Its own list of symbols, modules' included, into $tmp/NAME.symbols. And where its code is in physical
# memory.
guest_symbols() { # NAME
	guest_run "$1" 'cat /proc/kallsyms' >"$tmp/$1.kallsyms" || return
	awk '{print $1, $3}' "$tmp/$1.kallsyms" | LC_ALL=C sort >"$tmp/$1.symbols"
	guest_run "$1" 'cat /proc/iomem' | awk -F'[- ]+' '/Kernel code/ {print "0x" $2}' >"$tmp/$1.phys"
	[ -s "$tmp/$1.symbols" ] && [ -s "$tmp/$1.phys" ]
}

guest_symbol() { # NAME SYMBOL: its address, as a number for $(( ))
	awk -v name="$2" '$2 == name {print "0x" $1; exit}' "$tmp/$1.symbols"
}

# The kernel's image as it stands in memory, from _text to the end of its data.
guest_image() { # NAME FILE
	local text end phys
	phys=$(cat "$tmp/$1.phys")
	text=$(guest_symbol "$1" _text) end=$(guest_symbol "$1" __bss_stop)
	guest_qmp "$1" "$(printf '{"execute":"pmemsave","arguments":{"val":%d,"size":%d,"filename":"%s"}}' \
		"$phys" $((end - text)) "$2")" >"$tmp/pmemsave" || { cat "$tmp/pmemsave" >&2; return 1; }
}

# The kernel's code alone; from an IMAGE if there is one already.
guest_text() { # NAME FILE [IMAGE]
	local size=$(($(guest_symbol "$1" _etext) - $(guest_symbol "$1" _text)))
	[ $# -gt 2 ] || guest_image "$1" "$tmp/$1.image" || return
	head -c "$size" "${3-$tmp/$1.image}" >"$2"
}

# What stands in the guest's memory, through the gdbstub; and run on.
overwrite() { # NAME PHYSICAL FILE
	local data packet sum=0 i
	data=$(od -An -v -tx1 "$3" | tr -d ' \n')
	for packet in Qqemu.PhyMemMode:1 "M$(printf '%x,%x' "$2" $((${#data} / 2))):$data" \
		Qqemu.PhyMemMode:0 'D;1'; do
		sum=0
		for ((i = 0; i < ${#packet}; i++)); do
			sum=$((sum + $(printf '%d' "'${packet:i:1}")))
		done
		printf '+$%s#%02x' "$packet" $((sum & 255))
		sleep 0.3
	done | socat -t 1 - UNIX-CONNECT:"$(guest_dir "$1")/gdb" >"$tmp/stub"
	[ "$(guest_status "$1")" = running ] || guest_qmp "$1" '{"execute":"cont"}' >"$tmp/out"
}

# Is every live site of the kernel as its key says? By ./keys.c, not by vmpoke. What it looked at is
# in $tmp/NAME.image.
guest_keys_right() { # NAME
	[ -x "$tmp/keys" ] ||
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -o "$tmp/keys" "$guest_here/keys.c" || return
	guest_image "$1" "$tmp/$1.image" &&
		"$tmp/keys" "$tmp/$1.image" "$(guest_symbol "$1" _text)" \
			"$(guest_symbol "$1" __start___jump_table)" \
			"$(guest_symbol "$1" __stop___jump_table)"
}

# Warnings and worse in its log. Those of clocks are about a busy host.
guest_warnings() { # NAME
	guest_run "$1" 'dmesg -r' | grep -E '^<[0-4]>' |
		grep -vE 'clocksource|hrtimer: interrupt took|perf: interrupt took|crng'
}

# What the witness on each CPU has seen, one line a CPU: "99 42 99".
guest_witness() { # NAME
	guest_run "$1" 'cat /run/witness' |
		awk '/: /{seen[$2] = seen[$2] " " $3} END {for (cpu in seen) print seen[cpu]}' |
		sed 's/^ //'
}

# Have all CPUs seen exactly that so far?
guest_saw() { # NAME VALUES
	local i wanted=$2
	for ((i = 1; i < GUEST_VCPUS; i++)); do
		wanted+=$'\n'$2
	done
	[ "$(guest_witness "$1")" = "$wanted" ]
}

guest_schedstats() { guest_run "$1" 'cat /proc/sys/kernel/sched_schedstats'; } # NAME

# --- its code ----------------------------------------------------------------

# Compilers and kernels differ in how they say it. find_* take a function's bytes in hex and print
# "OFFSET BYTES".

# find_bytes CODE PATTERN...: the first of the patterns that is there, where it is first
find_bytes() {
	local code=$1 pattern before
	shift
	for pattern; do
		before=${code%%$pattern*} # a pattern may hold [...]
		[ "$before" != "$code" ] || continue
		[ $((${#before} % 2)) -eq 0 ] || continue
		echo "$((${#before} / 2)) ${code:${#before}:10}"
		return
	done
	return 1
}

# The witness's answer: mov $99, one of eax, ecx, edx, esi, edi.
find_mov() { find_bytes "$1" 'b[8-9aef]63000000'; } # CODE

# What `call __fentry__` has become, at the entry or behind an endbr64.
find_nop() { find_bytes "${1:0:18}" 0f1f440000 6666666690; } # CODE

# Finds the headers of a kernel of kernel.sh, for `headers`; says SKIP and ends if there are none.
hotfix_headers() { # KERNEL
	headers=$("$guest_here/headers.sh" "$1" 2>"$tmp/log")
	case $? in
	0) ;;
	77) echo "SKIP: $(basename "$0" .sh): $(tail -n 1 "$tmp/log")" && exit $failed ;;
	*) ok "the headers of $1 are fetched" 1 || exit 1 ;;
	esac
}
