#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `vmpoke verify` on stock Debian kernels under load: what the guest changes itself (ftrace, static
# keys, kprobes, modules) and what vmpoke changes is explained; one byte that somebody else changes is
# named exactly. And it neither writes to the guest nor lets a paused one go on.
#
#	tests/integration/verify.sh [FLAVOUR...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
tracing=/sys/kernel/tracing
export VP_LIMIT=120

# verify TEXT CODE [TARGET]: its answer is in $tmp/verify
verify() {
	local began=$EPOCHREALTIME
	vp verify "${3-$to}" --json >"$tmp/verify" 2>"$tmp/err"
	same "$1: exit code" $? "$2"
	echo "#  $(jq -c '.changes | with_entries(select(.value > 0))' "$tmp/verify")" \
		"$(awk "BEGIN {printf \"%.1f s\", $EPOCHREALTIME - $began}")"
	[ ! -s "$tmp/err" ] || sed 's/^/#  /' "$tmp/err"
	jq -c '.differences[], ."broken-keys"[]' "$tmp/verify" 2>"$tmp/jq" | sed 's/^/#  /'
}

answer() { jq -r "$1" "$tmp/verify"; }

# --- what the guest does ---------------------------------------------------------

check_guests_own() { # TEXT
	guest_run g 'echo 1 >/proc/sys/kernel/sched_schedstats'
	verify "$1: the guest switches a key" 0
	same "$1: its sites are explained" "$(answer '.changes."static-keys" > 20')" true
	guest_run g "mount -t tracefs tracefs $tracing; echo function >$tracing/current_tracer"
	verify "$1: the guest traces all functions" 0
	same "$1: they are explained" "$(answer '.changes.ftrace > 20000')" true
	guest_run g "echo nop >$tracing/current_tracer"
	guest_run g "echo 'p:inside do_sys_openat2+20' >$tracing/kprobe_events; echo 1 >$tracing/events/kprobes/enable" ||
		guest_run g "cat $tracing/error_log"
	verify "$1: the guest has a kprobe in a function" 0
	same "$1: it is explained" "$(answer '.changes.kprobes + .changes.ftrace > 0')" true
	guest_run g "echo 0 >$tracing/events/kprobes/enable; echo >$tracing/kprobe_events"
	guest_run g 'rmmod kvm'
	verify "$1: a module is unloaded" 0
	check "$1: and loaded" guest_run g 'insmod /modules/kvm.ko'
	verify "$1: it is new" 0
	same "$1: and kept" "$(answer '.added > 0')" true
	guest_run g 'echo 0 >/proc/sys/kernel/sched_schedstats'
	verify "$1: with all of it taken back" 0
}

# --- what somebody else does -------------------------------------------------------

# changed TEXT SYMBOL OFFSET HEX PLACE: these bytes there are named, and nothing else
changed() {
	local addr phys len=$((${#4} / 2)) was now
	addr=$(($(guest_symbol g "$2") + $3))
	phys=$(($(cat "$tmp/g.phys") + addr - $(guest_symbol g _text)))
	was=$(vp read "$to" "$(printf '%#x' $addr)" --len $len --json | jq -r .hex)
	printf '%b' "$(sed 's/../\\x&/g' <<<"$was")" >"$tmp/true"
	printf '%b' "$(sed 's/../\\x&/g' <<<"$4")" >"$tmp/lie"
	overwrite g $phys "$tmp/lie"
	verify "$1" 1
	same "$1: one difference, at its place" "$(answer '[.differences[].addr] | join(" ")')" "$(printf '%#x' $addr)"
	now=$4
	while [ "${was: -2}" = "${now: -2}" ]; do # what is the same at its end is not told
		was=${was%??} now=${now%??}
	done
	same "$1: with what was and is there" "$(answer '.differences[0] | [.was, .now, ."place-of"] | join(" ")')" \
		"$was $now ${5-}"
	vp verify "$to" >"$tmp/out" 2>"$tmp/err"
	check "$1: as text" grep -q "^DIFFERS: $(printf '%#x' $addr) " "$tmp/out"
	overwrite g $phys "$tmp/true"
	verify "$1: and taken back" 0
}

check_others() { # TEXT
	local entry=__x64_sys_sched_get_priority_max off=0 hex
	hex=$(vp read "$to" $entry --len 16 --json | jq -r .hex)
	case $hex in f30f1efa* | 660f1f00* | 0f1f40d6*) off=4 ;; esac
	changed "$1: a byte between two functions" do_sys_openat2 -1 f4
	changed "$1: a byte of read-only data" linux_proc_banner 3 58
	changed "$1: a jmp in the place of ftrace's nop" $entry $off e900000000 ftrace
}

# --- what we do ----------------------------------------------------------------------

check_ours() { # TEXT HEADERS
	local entry=__x64_sys_sched_get_priority_max off=0 hex
	hex=$(vp read "$to" $entry --len 16 --json | jq -r .hex)
	case $hex in f30f1efa* | 660f1f00* | 0f1f40d6*) off=4 ;; esac
	check "$1: a poke" vp poke "$to" $entry+$off --old "${hex:$((2 * off)):10}" --new "jmp:${entry%max}min"
	verify "$1: a poke of ours" 0
	same "$1: is explained" "$(answer .changes.pokes)" 1
	check "$1: is taken back" vp revert "$to"
	check "$1: a key" vp key set "$to" sched_schedstats on
	verify "$1: a key that we set" 0
	same "$1: is explained" "$(answer '.changes | ."static-keys" + .pokes > 20')" true
	check "$1: is taken back" vp revert "$to"
	[ -n "$2" ] || return
	check "$1: a hotfix is built" vp hotfix build "$here/../hotfixes/three-together.c" --headers "$2" -o "$tmp/fix.o"
	check "$1: and applied" vp hotfix apply "$to" "$tmp/fix.o"
	verify "$1: a hotfix" 0
	same "$1: is explained, and whole" "$(answer '(.changes.hotfixes >= 3), (.hotfixes[0] | .stands, .whole)' | tr '\n' ' ')" \
		"true applied true "
	vp hotfix list "$to" --json >"$tmp/list"
	same "$1: and is listed" "$(jq -r '.hotfixes[0] | .stands, .recorded' "$tmp/list" | tr '\n' ' ')" "applied true "
	VMPOKE_STATE_DIR=$tmp/elsewhere vp status "$to" --json >"$tmp/list"
	same "$1: also where no ledger is" "$(jq -r '.hotfixes[0] | .stands, .recorded' "$tmp/list" | tr '\n' ' ')" "applied false "
	check "$1: it is removed" vp hotfix remove "$to" "$(jq -r '.hotfixes[0].name' "$tmp/list")"
	verify "$1: nothing is left of it" 0
	same "$1: no hotfix" "$(answer '.hotfixes | length')" 0
}

check_guest() { # FLAVOUR
	local headers=
	guest_start g "$1" && guest_symbols g
	ok "$1: boots" $? || return
	to=$(target g qmp)
	guest_run g 'load start'
	verify "$1: the first look" 0
	same "$1: it says so" "$(answer .first)" true
	verify "$1: the second" 0
	same "$1: it compares" "$(answer '.first or .added > 0')" false
	same "$1: text and read-only data are looked at" \
		"$(answer '[.regions[] | select(.module | not) | .name] | join(" ")')" "text rodata"
	same "$1: and modules" "$(answer '[.regions[] | select(.module)] | length > 3')" true
	check_guests_own "$1"
	check_others "$1"
	[ "$1" != generic ] || headers=$("$here/../linux/headers.sh" generic 2>"$tmp/log") || {
		echo "SKIP: verify: $1, a hotfix: $(tail -n 1 "$tmp/log")"
		headers=
	}
	check_ours "$1" "$headers"
	verify "$1, gdbstub" 0 "$(target g gdb)"
	same "$1, gdbstub: the VM runs" "$(guest_status g)" running
	guest_qmp g '{"execute":"stop"}' >"$tmp/out"
	verify "$1: paused" 0
	check "$1: paused: status" vp status "$to"
	check "$1: paused: hotfix list" vp hotfix list "$to"
	same "$1: it stays paused" "$(guest_status g)" paused
	guest_qmp g '{"execute":"cont"}' >"$tmp/out"
	check "$1: the load goes on, without an error" guest_run g 'load check'
	guest_stop g
}

[ $# -gt 0 ] || set -- generic generic-6.12
for flavour; do
	check_guest "$flavour"
done
exit $failed
