#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stock Debian kernels under QEMU TCG, KASLR on: what vmpoke knows of each, against what the kernel
# says itself; a poke, an immediate and a static key that the guest's programs see, under load.
#
#	tests/integration/linux.sh [FLAVOUR...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"

func=__x64_sys_sched_get_priority_max # tests/linux/witness.c asks for it all the time

# --- info, sym, read ---------------------------------------------------------

# field NAME: of the last vmpoke info --json; numbers in hex or not, as they came
field() { jq -r ".$1" "$tmp/info"; }

# number TEXT FIELD WANTED
number() { same "$1" "$(printf '%#x' "$(field "$2")")" "$(printf '%#x' "$3")"; }

build_id() { # of the running kernel: its notes in hex
	guest_run g 'cat /sys/kernel/notes' | od -An -v -tx1 | tr -d ' \n' |
		grep -o '040000001400000003000000474e5500.\{40\}' | tail -c 41
}

has_flag() { guest_run g "grep -qw $1 /proc/cpuinfo"; }

check_info() { # TARGET TEXT
	local text phys flags=0
	check "$2: info" vp info "$1" --json
	cp "$tmp/check" "$tmp/info"
	text=$(guest_symbol g _text) phys=$(cat "$tmp/g.phys")
	same "$2: info: release" "$(field release)" "$(guest_run g 'uname -r')"
	same "$2: info: banner" "$(field banner)" "$(guest_run g 'cat /proc/version')"
	same "$2: info: build_id" "$(field build_id)" "$(build_id)"
	number "$2: info: kaslr_slide" kaslr_slide $((text - 0xffffffff81000000))
	number "$2: info: phys_base" phys_base $((phys - (text - 0xffffffff80000000)))
	has_flag la57 && flags=1
	same "$2: info: paging_levels" "$(field paging_levels)" $((4 + flags))
	has_flag pti && flags=true || flags=false
	same "$2: info: pti" "$(field pti)" $flags
	number "$2: info: vcpus" vcpus 2
	number "$2: info: symbols" symbols "$(wc -l <"$tmp/g.symbols")"
	number "$2: info: no pokes" pokes 0
}

# All symbols with their addresses, 100 %.
check_symbols() { # TARGET TEXT
	vp sym "$1" --all 2>"$tmp/err" | awk '{sub(/^0x/, "", $1); print $1, $NF}' |
		LC_ALL=C sort >"$tmp/symbols"
	cmp "$tmp/symbols" "$tmp/g.symbols" >"$tmp/cmp" 2>&1
	ok "$2: all $(wc -l <"$tmp/g.symbols") symbols equal /proc/kallsyms" $?
	[ -s "$tmp/cmp" ] && { cat "$tmp/cmp" "$tmp/err"; diff "$tmp/symbols" "$tmp/g.symbols" |
		head -n 10; } | sed 's/^/#  /'
}

check_sym_read() { # TARGET TEXT
	local addr out
	addr=$(guest_symbol g do_sys_openat2)
	out=$(vp sym "$1" do_sys_openat2)
	ok "$2: sym NAME" "$([[ $out == *"${addr#0x}"* ]]; echo $?)"
	out=$(vp sym "$1" "$(printf '%#x' $((addr + 3)))")
	ok "$2: sym ADDR tells the nearest" "$([[ $out == *do_sys_openat2+0x3* ]]; echo $?)"
	refused "$2: sym of a name that is none" "no_such_symbol" sym "$1" no_such_symbol
	guest_image g "$tmp/image"
	out=$(vp read "$1" "$func" --len 64 --json | jq -r .hex)
	addr=$(($(guest_symbol g $func) - $(guest_symbol g _text)))
	same "$2: read: the bytes in memory" "$out" \
		"$(od -An -v -tx1 -j $addr -N 64 "$tmp/image" | tr -d ' \n')"
	check "$2: read: instructions" vp read "$1" do_sys_openat2 --insns 400
	ok "$2: read: calls by name" "$(grep -qE 'call.*\<[a-z_]+[a-z0-9_]*' "$tmp/check"; echo $?)"
	check "$2: regs" vp regs "$1" --json
	same "$2: regs: two vCPUs" "$(jq '[.. | objects | select(has("rip"))] | length' "$tmp/check")" 2
}

# --- pokes that a program sees -----------------------------------------------

# Where in $func a byte pattern stands.
offset_of() { # TARGET HEX
	local hex before
	hex=$(vp read "$1" $func --len 64 --json | jq -r .hex)
	before=${hex%%"$2"*}
	[ "$before" != "$hex" ] && echo $((${#before} / 2))
}

seen=99 # all that the witness may have seen

# change VALUE TEXT COMMAND...: run vmpoke; then the witness sees VALUE next, and nothing in between
change() {
	local text=$2
	seen="$seen $1"
	shift 2
	check "$text" vp "$@"
	check "$text: seen on both CPUs" until_true 60 guest_saw g "$seen"
}

check_pokes() { # TARGET TEXT
	local mov nop code
	seen=99
	check "$2: the witness is at work" until_true 60 guest_saw g 99
	mov=$(offset_of "$1" b863000000) nop=$(offset_of "$1" 0f1f440000)
	code=$(vp read "$1" $func --len 64 --json | jq -r .hex)
	change 42 "$2: poke of a mov" poke "$1" "$func+$mov" --old b863000000 --new b82a000000
	same "$2: status shows it, as it stands in memory" \
		"$(vp status "$1" --json | jq -r '[.. | objects | select(has("now")) | .now] | join(" ")')" new
	change 99 "$2: revert" revert "$1"
	change 1 "$2: poke of the entry nop to a jmp" poke "$1" "$func+$nop" --old 0f1f440000 \
		--new jmp:${func%max}min
	change 99 "$2: revert" revert "$1"
	change 7 "$2: imm" imm "$1" "$func+$mov" 7
	change 99 "$2: revert" revert "$1"
	same "$2: the old bytes stand again" "$(vp read "$1" $func --len 64 --json | jq -r .hex)" "$code"
	refused "$2: other old bytes are refused" "" poke "$1" "$func+$mov" --old b864000000 \
		--new b82a000000
	refused "$2: half an instruction is refused" "" poke "$1" "$func+$((mov + 1))" --old 63000000 \
		--new 2a000000
}

# --- static keys -------------------------------------------------------------

sched_lines() { guest_run g 'cat /proc/1/sched' | wc -l; }

check_keys() { # TARGET TEXT
	local lines=$(sched_lines)
	check "$2: all keys are right before (by the test itself)" guest_keys_right g
	sites=$(sed -n 's/ sites.*//p' "$tmp/check")
	check "$2: key list" vp key list "$1" --json
	jq '[.. | objects | select(has("consistent"))]' "$tmp/check" >"$tmp/list"
	same "$2: key list: no key contradicts its sites" \
		"$(jq -r '[.[] | select(.consistent | not) | .name] | join(" ")' "$tmp/list")" ""
	ok "$2: key list: at least the $sites sites that the test counts" \
		"$(jq -e "([.[].sites] | add) >= $sites" "$tmp/list" >/dev/null; echo $?)"

	check "$2: key set on" vp key set "$1" sched_schedstats on
	same "$2: the guest's sysctl shows it" "$(guest_schedstats g)" 1
	ok "$2: /proc/1/sched has more lines" "$([ "$(sched_lines)" -gt "$lines" ]; echo $?)"
	check "$2: all keys are right" guest_keys_right g
	guest_run g 'echo 0 >/proc/sys/kernel/sched_schedstats'
	same "$2: the guest switches it off" "$(guest_schedstats g) $(sched_lines)" "0 $lines"
	check "$2: all keys are right" guest_keys_right g
	guest_run g 'echo 1 >/proc/sys/kernel/sched_schedstats'
	same "$2: the guest switches it on" "$(guest_schedstats g)" 1
	check "$2: key set off" vp key set "$1" sched_schedstats off
	same "$2: the guest's sysctl shows it" "$(guest_schedstats g) $(sched_lines)" "0 $lines"
	check "$2: all keys are right after (by the test itself)" guest_keys_right g
}

# --- one guest ---------------------------------------------------------------

check_guest() { # FLAVOUR TEXT [QEMU-ARG...]
	local flavour=$1 text=$2 gdb qmp
	shift 2
	guest_start g "$flavour" "$@" && guest_symbols g
	ok "$text: boots" $? || return
	gdb=$(target g gdb) qmp=$(target g qmp)
	guest_warnings g >"$tmp/warnings"
	check_info "$qmp" "$text, qmp"
	guest_run g 'load start'
	check_info "$gdb" "$text, gdb, under load"
	check_symbols "$gdb" "$text"
	check_sym_read "$gdb" "$text, gdb"
	check_pokes "$gdb" "$text, gdb"
	check_keys "$qmp" "$text, qmp"
	guest_run g 'rmmod kvm' && guest_symbols g
	ok "$text: a module goes away" $?
	check_symbols "$qmp" "$text, qmp, without it"
	check "$text: the load goes on, without an error" guest_run g 'load check'
	same "$text: runs" "$(guest_status g)" running
	guest_warnings g >"$tmp/warnings.now"
	check "$text: no new warning in its log" cmp "$tmp/warnings" "$tmp/warnings.now"
	guest_stop g
}

[ $# -gt 0 ] || set -- generic cloud rt generic-6.12
for flavour; do
	case $flavour in
	generic) check_guest generic "generic, 5 levels" -cpu max ;;
	cloud) GUEST_APPEND=pti=on check_guest cloud "cloud, PTI" ;;
	*) check_guest "$flavour" "$flavour" ;;
	esac
done
exit $failed
