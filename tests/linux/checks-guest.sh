# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: what vmpoke knows of the guest g, against what its kernel says itself;
# a poke, an immediate and a static key that the guest's programs see, under load.
#
#	check_info TARGET TEXT
#	check_symbols TARGET TEXT
#	check_sym_read TARGET TEXT
#	check_pokes TARGET TEXT
#	check_keys TARGET TEXT
#	check_life TEXT		afterwards: it works, without an error or a warning since guest_watch
#
# GUEST_THREAD=multi: the guest itself switches no key (see guest.sh).

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
	number "$2: info: vcpus" vcpus "$GUEST_VCPUS"
	number "$2: info: symbols" symbols "$(wc -l <"$tmp/g.symbols")"
	number "$2: info: no pokes" pokes 0
}

# All symbols with their addresses, 100 %.
check_symbols() { # TARGET TEXT
	vp sym "$1" --all 2>"$tmp/err" | awk '{sub(/^0x/, "", $1); print $1, $NF}' |
		LC_ALL=C sort >"$tmp/symbols"
	check "$2: all symbols equal /proc/kallsyms: $(wc -l <"$tmp/g.symbols")" \
		cmp "$tmp/symbols" "$tmp/g.symbols"
	cmp -s "$tmp/symbols" "$tmp/g.symbols" ||
		{ cat "$tmp/err"; diff "$tmp/symbols" "$tmp/g.symbols" | head -n 10; } | sed 's/^/#  /'
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
	addr=$(guest_symbol g $func)
	# Symbols are sorted, and of one length.
	out=$(awk -v at="${addr#0x}" '$1 "" > at "" {print "0x" $1; exit}' "$tmp/g.symbols")
	same "$2: read: a function, up to the next symbol" \
		"$(vp read "$1" $func --json | jq -c '[.more, (.insns | map(.bytes | length / 2) | add)]')" \
		"[0,$((out - addr))]"
	check "$2: read --att" vp read "$1" $func --att
	ok "$2: read --att: the kernel's syntax" "$(grep -q '%[er]' "$tmp/check"; echo $?)"
	check "$2: regs" vp regs "$1" --json
	same "$2: regs: all vCPUs" "$(jq '[.. | objects | select(has("rip"))] | length' "$tmp/check")" \
		"$GUEST_VCPUS"
}

# --- pokes that a program sees -----------------------------------------------

seen=99 # all that the witness may have seen

# change VALUE TEXT COMMAND...: run vmpoke; then the witness sees VALUE next, and nothing in between
change() {
	local text=$2
	seen="$seen $1"
	shift 2
	check "$text" vp "$@"
	check "$text: seen on all CPUs" until_true 60 guest_saw g "$seen"
}

check_pokes() { # TARGET TEXT
	local code mov imm nop jmp
	seen=99
	check "$2: the witness is at work" until_true 60 guest_saw g 99
	code=$(vp read "$1" $func --len 64 --json | jq -r .hex)
	mov=$(find_mov "$code") nop=$(find_nop "$code")
	ok "$2: a mov of 99 and an entry nop: ${mov:-none}, ${nop:-none}" \
		"$([ -n "$mov" ] && [ -n "$nop" ]; echo $?)"
	imm=${mov#* } mov=$func+${mov% *} jmp=${nop#* } nop=$func+${nop% *}
	change 42 "$2: poke of a mov" poke "$1" "$mov" --old "$imm" --new "${imm:0:2}2a000000"
	same "$2: status shows it, as it stands in memory" \
		"$(vp status "$1" --json | jq -r '[.. | objects | select(has("now")) | .now] | join(" ")')" new
	same "$2: read marks it" "$(vp read "$1" "$mov" --insns 1 --json | jq '.insns[0] | .poke > 0 and .stands')" true
	same "$2: once more is already so" "$(vp poke "$1" "$mov" --old "$imm" --new "${imm:0:2}2a000000" --json |
		jq -c '[.already, .id, .by > 0]')" "[true,0,true]"
	change 99 "$2: revert" revert "$1"
	change 1 "$2: poke of the entry nop to a jmp" poke "$1" "$nop" --old "$jmp" \
		--new jmp:${func%max}min
	change 99 "$2: revert" revert "$1"
	change 7 "$2: imm" imm "$1" "$mov" 7
	change 99 "$2: revert" revert "$1"
	same "$2: the old bytes stand again" "$(vp read "$1" $func --len 64 --json | jq -r .hex)" "$code"
	refused "$2: other old bytes are refused" "not the old bytes" poke "$1" "$mov" --old "${imm:0:2}64000000" \
		--new "${imm:0:2}2a000000"
	refused "$2: a jump to data is refused" "no code can run there" poke "$1" "$nop" --old "$jmp" --new jmp:init_task
	refused "$2: a jump into an instruction is refused" "inside the instruction" poke "$1" "$nop" --old "$jmp" \
		--new "jmp:${mov%+*}+$((${mov##*+} + 1))"
	refused "$2: half an instruction is refused" "inside the instruction" poke "$1" "${mov%+*}+$((${mov##*+} + 1))" \
		--old "${imm:2}" --new 2a000000
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
	if [ "${GUEST_THREAD-}" != multi ]; then
		guest_run g 'echo 0 >/proc/sys/kernel/sched_schedstats'
		same "$2: the guest switches it off" "$(guest_schedstats g) $(sched_lines)" "0 $lines"
		check "$2: all keys are right" guest_keys_right g
		guest_run g 'echo 1 >/proc/sys/kernel/sched_schedstats'
		same "$2: the guest switches it on" "$(guest_schedstats g)" 1
	fi
	check "$2: key set off" vp key set "$1" sched_schedstats off
	same "$2: the guest's sysctl shows it" "$(guest_schedstats g) $(sched_lines)" "0 $lines"
	check "$2: all keys are right after (by the test itself)" guest_keys_right g
}

# --- the guest goes on -------------------------------------------------------

# What its log says so far is not about us.
guest_watch() { guest_warnings g >"$tmp/warnings"; }

check_life() { # TEXT
	check "$1: the load goes on, without an error" guest_run g 'load check'
	same "$1: runs" "$(guest_status g)" running
	guest_warnings g >"$tmp/warnings.now"
	check "$1: no new warning in its log" diff "$tmp/warnings" "$tmp/warnings.now"
}
