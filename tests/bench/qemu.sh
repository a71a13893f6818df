#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What commands cost a guest of this machine's QEMU (TCG) that does nothing else, and gdb in batch mode that
# patches the same in the same way, on the same stub: JSON as of `vmpoke bench --json`.
#
#	tests/bench/qemu.sh RUNS
#
# Wall time is that of the whole command; the pause is the longest from STOP to RESUME that QEMU itself tells,
# on a socket of the bench's own.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/checks.sh
. tests/linux/checks-hotfix.sh
runs=$1
load=$(cat /proc/loadavg)
one_site=clean_acked_data_enabled
many_sites=sched_schedstats
: >"$tmp/figures"

die() {
	echo "qemu.sh: $1" >&2
	exit 1
}

# --- what QEMU tells of stops --------------------------------------------------

watch() { # until the watcher is killed
	: >"$tmp/events"
	mkfifo "$tmp/hold" && exec 7<>"$tmp/hold" && echo '{"execute":"qmp_capabilities"}' >&7 || return
	socat - UNIX-CONNECT:"$(guest_dir g)/watch" <&7 >"$tmp/events" 7>&- 2>/dev/null &
	watcher=$!
	until_true 10 grep -q '"return"' "$tmp/events"
}

# The longest pause since line @1 of the events, in us.
longest_pause() { # LINE
	tail -n +$(($1 + 1)) "$tmp/events" | jq -s '
		[.[] | select(.event == "STOP" or .event == "RESUME") |
			{e: .event, t: (.timestamp.seconds * 1000000 + .timestamp.microseconds)}] |
		[range(1; length) as $i | select(.[$i].e == "RESUME" and .[$i - 1].e == "STOP") |
			.[$i].t - .[$i - 1].t] | max // 0'
}

# --- taking the time -----------------------------------------------------------

# Run it; add a line of figures: WHAT, HOW, ms of wall time, us of pause.
measure() { # WHAT HOW COMMAND...
	local what=$1 how=$2 line begin end
	shift 2
	line=$(wc -l <"$tmp/events") begin=${EPOCHREALTIME/./}
	"$@" >"$tmp/out" 2>&1 </dev/null || { cat "$tmp/out" >&2 && die "failed: $*"; }
	end=${EPOCHREALTIME/./}
	sleep 0.05 # the last event
	printf '%s\t%s\t%s\t%s\n' "$what" "$how" "$(jq -n "$((end - begin)) / 1000")" "$(longest_pause "$line")" >>"$tmp/figures"
}

# A script for gdb that makes of code @1 code @2, by the bytes in which they differ.
gdb_script() { # OLD NEW OUTPUT
	local start len
	{
		echo "set confirm off"
		echo "set architecture i386:x86-64"
		echo "target remote $(guest_dir g)/gdb"
		cmp -l "$1" "$2" | awk '
			NR > 1 && $1 - last > 4 {print first - 1, last - first + 1; first = $1}
			NR == 1 {first = $1}
			{last = $1}
			END {print first - 1, last - first + 1}' |
			while read -r start len; do
				printf 'set {unsigned char[%d]}%#x = {%s}\n' "$len" $((text + start)) \
					"$(od -An -v -tu1 -w"$len" -j "$start" -N "$len" "$2" | sed 's/^ *//; s/  */, /g')"
			done
		echo "detach"
	} >"$3"
}

# What gdb is to write for a key, from what vmpoke does.
prepare_key() { # KEY
	guest_text g "$tmp/off" && vp key set "$to" "$1" on >/dev/null && guest_text g "$tmp/on" &&
		vp key set "$to" "$1" off >/dev/null || die "no key $1"
	gdb_script "$tmp/off" "$tmp/on" "$tmp/gdb.$1.on"
	gdb_script "$tmp/on" "$tmp/off" "$tmp/gdb.$1.off"
}

# What gdb was told to write stands there: the first site of it.
gdb_wrote() { # SCRIPT
	local at want
	read -r at want < <(sed -n 's/^set {.*}\(0x[0-9a-f]*\) = {\(.*\)}$/\1 \2/p' "$1" | tr -d ,)
	# shellcheck disable=SC2086 # numbers
	[ "$(vp read "$to" "$at" --len "$(wc -w <<<"$want")" --json | jq -r .hex)" = "$(printf %02x $want)" ] ||
		die "gdb has not written what it was told"
}

# There and back, by the one and the other.
switch_key() { # CASE KEY
	local what
	for what in on off; do
		measure "$1" vmpoke vp key set "$to" "$2" $what
	done
	for what in on off; do
		measure "$1" gdb gdb -nx -batch -x "$tmp/gdb.$2.$what"
		gdb_wrote "$tmp/gdb.$2.$what"
	done
}

on_qemu() {
	local i
	hotfix_headers generic
	hotfix_build three-together || die "three-together is not built"
	GUEST_VCPUS=2 guest_start g generic && guest_symbols g || die "the guest does not boot"
	text=$(guest_symbol g _text)
	to=$(target g qmp)
	prepare_key $one_site
	prepare_key $many_sites
	guest_text g "$tmp/before" || die "the code cannot be read"
	watch || die "QEMU tells no events"
	for ((i = 1; i <= runs; i++)); do
		[ ! -t 2 ] || printf '\rQEMU: round %d of %d ' "$i" "$runs" >&2
		switch_key "key, 1 site" $one_site
		switch_key "key, 76 sites" $many_sites
		measure "hotfix apply" vmpoke vp hotfix apply "$to" "$tmp/three-together.o"
		measure "hotfix remove" vmpoke vp hotfix remove "$to" three-together
		measure info vmpoke vp info "$to"
		measure "find a symbol" vmpoke vp sym "$to" schedule
	done
	[ ! -t 2 ] || printf '\r%30s\r' "" >&2
	kill "$watcher"
	guest_text g "$tmp/now" && cmp "$tmp/now" "$tmp/before" || die "the code is not as it was"
}

# Each line of figures: what, how, wall time, pause.
document() {
	sort "$tmp/figures" | jq -Rn --arg load "$load" --argjson runs "$runs" \
		--arg machine "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)" \
		--arg what "$(qemu-system-x86_64 --version | head -n 1), TCG: a stock Debian kernel with 2 vCPUs, idle" '
		[inputs | split("\t") | {case: .[0], way: .[1], wall: (.[2] | tonumber), pause: ((.[3] | tonumber) / 1000)}] |
		group_by([.case, .way]) | map({env: "qemu", case: .[0].case, way: .[0].way} +
			({group: "command-wall", samples: map(.wall)}, {group: "command-pause", samples: map(.pause)})) |
		{"vmpoke-bench": 1, figures: ., environments: [{name: "qemu", $what, $machine,
			command: "tests/bench/qemu.sh \($runs)", $runs, $load, notes: []}]}'
}

command -v gdb >/dev/null || die "gdb is not installed"
on_qemu >&2
document
