#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who of a Linux guest writes into its text, too: a poke at what is a static key's, a static call's, a
# kprobe's is refused and says whose it is; one at ftrace's nop takes the function from ftrace, whose
# tracer goes on working, and gives it back. And the sites of a sealed key in a module.
#
#	tests/integration/linux-owners.sh [FLAVOUR...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"

func=__x64_sys_sched_get_priority_max
tracing=/sys/kernel/tracing
# Not those of a stall: an emulated CPU takes long to trace all functions.
faults='WARNING: CPU|BUG: [^s]|Oops|ftrace_bug|ftrace (failed|faulted)'

# The nop that a function begins with, behind an endbr64 or not: $where and $nop.
find_entry() { # TARGET FUNCTION
	local hex off=0
	hex=$(vp read "$1" "$2" --len 16 --json | jq -r .hex)
	case $hex in f30f1efa* | 660f1f00* | 0f1f40d6*) off=4 ;; esac
	where=$2+$off nop=${hex:$((2 * off)):10}
}

# --- ftrace ------------------------------------------------------------------

tracer() { guest_run g "cd $tracing && echo $1 >current_tracer"; } # NAME

# Do functions of this name belong to ftrace, as it says itself, with the tracer on?
traced() { guest_run g "grep -c '^$1 ' $tracing/enabled_functions"; }

ftrace_works() { # TEXT
	same "$1: ftrace is enabled" "$(guest_run g 'cat /proc/sys/kernel/ftrace_enabled')" 1
	guest_run g dmesg | grep -E "$faults" >"$tmp/log"
	check "$1: no warning in the guest's log" diff "$tmp/log.before" "$tmp/log"
}

check_ftrace() { # TARGET TEXT
	local i began
	guest_run g "mount -t tracefs tracefs $tracing; echo '__x64_sys_sched_*' >$tracing/set_ftrace_filter"
	guest_run g dmesg | grep -E "$faults" >"$tmp/log.before"
	find_entry "$1" $func
	check "$2: poke of an entry nop to a jmp" poke_entry "$1"
	for i in 1 2 3; do
		check "$2: the function tracer starts" tracer function
		same "$2: it traces others, not this one" \
			"$(traced $func) $(traced "${func%max}min")" "0 1"
		check "$2: it stops" tracer nop
	done
	guest_run g "echo >$tracing/set_ftrace_filter"
	check "$2: it starts on all functions" tracer function
	check "$2: and stops" tracer nop
	ftrace_works "$2: a poke stands, all were traced"

	guest_run g "echo '__x64_sys_sched_*' >$tracing/set_ftrace_filter"
	check "$2: it starts once more" tracer function
	refused "$2: no revert while it traces" ftrace_ops_list revert "$1" --timeout 2000
	same "$2: the poke stands" "$(vp status "$1" --json |
		jq -r '[.. | objects | select(has("now")) | .now] | join(" ")')" new
	find_entry "$1" do_sys_openat2
	refused "$2: nor a poke of any other entry" "ftrace is in use" \
		poke "$1" "$where" --old "$nop" --new jmp:$func --timeout 2000
	(sleep 3 && tracer nop >"$tmp/stops" 2>&1) &
	began=$SECONDS
	check "$2: a revert waits until it stops" vp revert "$1" --timeout 50000
	wait $!
	echo "#  $((SECONDS - began)) s"
	# A filter that was set while the function was disabled does not have it.
	guest_run g "echo '__x64_sys_sched_*' >$tracing/set_ftrace_filter"
	check "$2: the tracer starts after the revert" tracer function
	same "$2: it traces the function again" "$(traced $func)" 1
	find_entry "$1" $func
	refused "$2: an entry that is traced is refused" "traces" \
		poke "$1" "$where" --old "$nop" --new jmp:${func%max}min --timeout 2000
	check "$2: it stops" tracer nop
	ftrace_works "$2: after the revert"
}

poke_entry() { vp poke "$1" "$where" --old "$nop" --new jmp:${func%max}min; } # TARGET

# --- static keys -------------------------------------------------------------

check_key() { # TARGET TEXT
	local site addr
	check "$2: key set" vp key set "$1" sched_schedstats on
	site=$(vp status "$1" --json | jq -c '[.. | objects | select(has("now") and (.old | length) == 10)][0]')
	check "$2: and back" vp key set "$1" sched_schedstats off
	addr=$(jq -r .addr <<<"$site") nop=$(jq -r .old <<<"$site")
	refused "$2: the key's nop is refused, naming the key" "key set TARGET sched_schedstats" \
		poke "$1" "$addr" --old "$nop" --new 0f1f440001
	same "$2: nothing was written" "$(vp read "$1" "$addr" --len 5 --json | jq -r .hex)" "$nop"
	check "$2: with --force it is done" vp poke "$1" "$addr" --old "$nop" --new 0f1f440001 --force
	ok "$2: the ledger says so" "$(vp status "$1" --history --json |
		jq -e 'any(.[]; .force == true and (.forced | test("sched_schedstats")))' >/dev/null
		echo $?)"
	check "$2: revert" vp revert "$1"
	check "$2: all keys are right" guest_keys_right g
}

# --- kprobes -----------------------------------------------------------------

# The bytes of the instruction at an address.
insn_at() { vp read "$1" "$2" --insns 1 --json | jq -r '.insns[0].bytes'; } # TARGET WHERE

probe() { # WHERE
	guest_run g "cd $tracing && echo 'p:vmpoke_probe $1' >kprobe_events"
}

check_kprobe() { # TARGET TEXT
	local second third hex
	find_entry "$1" do_sys_openat2
	second=do_sys_openat2+$((${where#*+} + 5))
	hex=$(insn_at "$1" "$second")
	third=do_sys_openat2+$((${second#*+} + ${#hex} / 2))
	check "$2: a kprobe that is not enabled" probe "$second"
	refused "$2: its instruction is refused, naming it" "kprobe at do_sys_openat2" \
		poke "$1" "$second" --old "$hex" --new nop --dry-run
	if [ $((${#hex} / 2)) -lt 5 ]; then
		hex=$(insn_at "$1" "$third")
		refused "$2: so is one behind it, where a jmp would reach" "kprobe at do_sys_openat2" \
			poke "$1" "$third" --old "$hex" --new nop --dry-run
	fi
	guest_run g "cd $tracing && echo >kprobe_events"
	hex=$(insn_at "$1" "$second")
	check "$2: without it that is nobody's" vp poke "$1" "$second" --old "$hex" --new nop --dry-run
	check "$2: a kprobe at an entry" probe do_sys_openat2
	refused "$2: the entry is refused, naming it" "kprobe at do_sys_openat2" \
		poke "$1" "$where" --old "$nop" --new jmp:$func --dry-run
	guest_run g "cd $tracing && echo >kprobe_events"
}

# --- static calls ------------------------------------------------------------

check_static_call() { # TARGET TEXT
	local name hex
	name=$(awk '$2 ~ /^__SCT__/ {print $2; exit}' "$tmp/g.symbols")
	hex=$(insn_at "$1" "$name")
	refused "$2: $name is refused" "static call" poke "$1" "$name" --old "$hex" --new nop --dry-run
}

# --- a sealed key with sites in a module ---------------------------------------

key_sites() { vp key list "$1" --json | jq '[.. | objects | select(.name? == "context_tracking_key") | .sites][0]'; }

check_sealed() { # TARGET TEXT FLAVOUR
	local with without there
	there=$(readelf -rW "$("$here/../linux/kernel.sh" "$3")/modules/kvm.ko" |
		awk '/^Relocation/ {on = /__jump_table/} on && /context_tracking_key/' | wc -l)
	with=$(key_sites "$1")
	guest_run g 'rmmod kvm'
	without=$(key_sites "$1")
	same "$2: a module's $there sites of context_tracking_key are counted" $((with - without)) "$there"
}

# --- one guest ---------------------------------------------------------------

check_guest() { # FLAVOUR
	local gdb qmp
	guest_start g "$1" && guest_symbols g
	ok "$1: boots" $? || return
	gdb=$(target g gdb) qmp=$(target g qmp)
	check_ftrace "$qmp" "$1, ftrace"
	check_key "$qmp" "$1, static key"
	check_kprobe "$gdb" "$1, kprobe"
	check_static_call "$gdb" "$1, static call"
	check_sealed "$qmp" "$1, sealed key" "$1"
	guest_stop g
}

[ $# -gt 0 ] || set -- generic generic-6.12
for flavour; do
	check_guest "$flavour"
done
exit $failed
