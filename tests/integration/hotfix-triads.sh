#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All hotfixes of tests/hotfixes in guests that run the kernels they are for, under load: each is seen by
# a program of the guest to fail before, to pass meanwhile, and to fail again. Then all at once, while
# the guest's function tracer is switched on and off, and back in the reverse order. In the end code and
# memory are as they were.
#
#	tests/integration/hotfix-triads.sh [KERNEL...]	of tests/linux/kernel.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-hotfix.sh"
trace=/sys/kernel/debug/tracing

# The function tracer, of some thousand functions, most of those that are replaced among them: with all
# of them a busy host takes minutes, and so it does to look through several patterns.
tracer_on() {
	guest_run g "echo '*_s[ehy]*' >$trace/set_ftrace_filter && echo function >$trace/current_tracer" || return
	[ "$(tracer_says)" = "1 1" ]
}
tracer_off() {
	guest_run g "echo nop >$trace/current_tracer && echo >$trace/set_ftrace_filter" || return
	[ "$(tracer_says)" = "1 0" ]
}
# "1 1": ftrace works, and is at a thousand functions or more; "1 0": at none.
tracer_says() {
	guest_run g "cat /proc/sys/kernel/ftrace_enabled; wc -l <$trace/enabled_functions" |
		awk '{print ($1 > 1000 ? 1 : $1)}' | tr '\n' ' ' | sed 's/ $//'
}

# What the kernel does once, and keeps: it is done before anything is measured.
warm_up() { # NAME
	hotfix_apply "$1" && hotfix_remove "$1" && tracer_on && tracer_off
}

triad() { # NAME
	local name=$1
	same "$name: fails before" "$(hotfix_shows "$name")" "$(hotfix_before "$name")"
	check "$name: is applied" hotfix_apply "$name"
	same "$name: passes" "$(hotfix_shows "$name")" "$(hotfix_meanwhile "$name")"
	check "$name: is removed" hotfix_remove "$name"
	same "$name: fails again" "$(hotfix_shows "$name")" "$(hotfix_before "$name")"
}

# What each of them is to show when all are there: those that are over an inverse do not tell it apart.
all_fixed() { # NAME...
	printf 'fixed %.0s' "$@" | sed 's/ $//'
}

all_before() { # NAME...
	local name
	for name; do
		if [ -n "$(said "$name" Over)" ]; then
			hotfix_before "$(said "$name" Over)"
		else
			hotfix_before "$name"
		fi
	done | tr '\n' ' ' | sed 's/ $//'
}

apply_all() { # NAME...
	local name
	for name; do
		hotfix_apply "$name" || { echo "$name" && return 1; }
	done
}

remove_all() { # NAME...: the last first
	local i
	for ((i = $#; i > 0; i--)); do
		hotfix_remove "${!i}" || { echo "${!i}" && return 1; }
	done
}

# A function that the guest traces is left alone, and one that is replaced is no matter of the tracer's.
check_traced() { # NAME
	local name=$1 function
	function=$(sed -n 's/^VMPOKE_REPLACE(\([^,]*\),.*/\1/p' "$hotfix_folder/$name.c" | head -n 1)
	check "the guest traces $function" guest_run g \
		"echo $function >$trace/set_ftrace_filter && echo function >$trace/current_tracer"
	refused "$name is refused" "$function" hotfix apply "$(target g "$to")" "$tmp/$name.o"
	same "$name is not there" "$(hotfix_shows "$name")" "$(hotfix_before "$name")"
	check "the guest traces it no more" guest_run g \
		"echo nop >$trace/current_tracer && echo >$trace/set_ftrace_filter"
}

together() { # NAME...
	check "all $#: are applied" apply_all "$@"
	same "all $#: pass" "$(hotfix_shows "$@")" "$(all_fixed "$@")"
	check "the function tracer is switched on" tracer_on
	same "all $#: pass while it traces" "$(hotfix_shows --again "$@")" "$(all_fixed "$@")"
	check "and off" tracer_off
	same "all $#: pass after it" "$(hotfix_shows --again "$@")" "$(all_fixed "$@")"
	check "the load goes on, without an error" guest_run g 'load check'
	check "all $#: are removed, the last first" remove_all "$@"
	same "all $#: fail" "$(hotfix_shows "$@")" "$(all_before "$@")"
}

on_kernel() { # KERNEL
	local names name over
	hotfix_headers "$1"
	mapfile -t names < <(hotfix_names "$1")
	check "$1: ${#names[@]} hotfixes are built" hotfix_build "${names[@]}"
	guest_start g "$1" && guest_symbols g
	ok "$1: boots" $? || return
	check "the load is at work" guest_run g 'load start; load settle'
	check "a first time, for what the kernel keeps" warm_up "${names[0]}"
	hotfix_warnings >"$tmp/warnings"
	hotfix_texts "$tmp/before"
	guest_modules "$tmp/modules"
	for name in "${names[@]}"; do
		over=$(said "$name" Over)
		[ -z "$over" ] || check "$over: is applied, for the next" hotfix_apply "$over"
		triad "$name"
		[ -z "$over" ] || check "$over: is removed" hotfix_remove "$over"
	done
	hotfix_warned "one by one"
	check_traced "${names[0]}"
	together "${names[@]}"
	guest_run g 'load stop'
	hotfix_warned "in the end"
	hotfix_texts "$tmp/after"
	check "the guest's code is as it was, byte for byte" cmp "$tmp/before" "$tmp/after"
	check "its vmallocinfo is as it was" until_true 20 guest_modules_are "$tmp/modules"
	same "it runs" "$(guest_status g)" running
	guest_stop g
}

[ $# -gt 0 ] || set -- generic 6.1.0-50-amd64
for kernel; do
	on_kernel "$kernel"
done
exit $failed
