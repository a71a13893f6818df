#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What patching costs, side by side in one run: `make bench`. Tests judge none of it.
#
#	RUNS=N	how often each is done (20)
#
# On a guest of this machine's QEMU (TCG) that does nothing else: what is patched by vmpoke, and what of it
# gdb in batch mode patches in the same way on the same stub. Wall time is that of the whole command;
# the pause is the longest from STOP to RESUME that QEMU itself tells, on a socket of the bench's own. On
# /dev/kvm, if it is there: the two strategies of the demo. All figures: build/bench.json.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/checks.sh
. tests/linux/checks-hotfix.sh
runs=${RUNS:-20}
: >"$tmp/figures"

die() {
	echo "bench: $1" >&2
	exit 1
}

# --- what QEMU tells of stops --------------------------------------------------

watch() { # until the watcher is killed
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

# Run it; add a line of figures: WHAT HOW WALL-MS PAUSE-US
measure() { # WHAT HOW COMMAND...
	local what=$1 how=$2 line begin end
	shift 2
	line=$(wc -l <"$tmp/events") begin=${EPOCHREALTIME/./}
	"$@" >"$tmp/out" 2>&1 </dev/null || { cat "$tmp/out" >&2 && die "failed: $*"; }
	end=${EPOCHREALTIME/./}
	sleep 0.05 # the last event
	echo "$what $how $(((end - begin) / 1000)) $(longest_pause "$line")" >>"$tmp/figures"
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

on_qemu() {
	local i what to
	hotfix_headers generic
	hotfix_build three-together || die "three-together is not built"
	GUEST_VCPUS=2 guest_start g generic && guest_symbols g || die "the guest does not boot"
	text=$(guest_symbol g _text)
	to=$(target g qmp)
	guest_text g "$tmp/off"
	vp key set "$to" sched_schedstats on >/dev/null && guest_text g "$tmp/on" || die "no key"
	vp key set "$to" sched_schedstats off >/dev/null
	gdb_script "$tmp/off" "$tmp/on" "$tmp/gdb.on"
	gdb_script "$tmp/on" "$tmp/off" "$tmp/gdb.off"
	watch || die "QEMU tells no events"
	for ((i = 1; i <= runs; i++)); do
		echo "round $i of $runs" >&2
		for what in on off; do
			measure key-of-76-sites vmpoke vp key set "$to" sched_schedstats $what
		done
		for what in on off; do
			measure key-of-76-sites gdb gdb -nx -batch -x "$tmp/gdb.$what"
			gdb_wrote $what
		done
		measure hotfix-apply vmpoke vp hotfix apply "$to" "$tmp/three-together.o"
		measure hotfix-remove vmpoke vp hotfix remove "$to" three-together
		measure info vmpoke vp info "$to"
	done
	kill "$watcher"
	guest_text g "$tmp/now" && cmp "$tmp/now" "$tmp/off" || die "the code is not as it was"
}

# What gdb was told to write stands there: the first site of it.
gdb_wrote() { # on|off
	local at want
	read -r at want < <(sed -n 's/^set {.*}\(0x[0-9a-f]*\) = {\(.*\)}$/\1 \2/p' "$tmp/gdb.$1" | tr -d ,)
	# shellcheck disable=SC2086 # numbers
	[ "$(vp read "$to" "$at" --len "$(wc -w <<<"$want")" --json | jq -r .hex)" = "$(printf %02x $want)" ] ||
		die "gdb has not written what it was told"
}

# --- the demo's two strategies ---------------------------------------------------

on_kvm() {
	local how
	[ -w /dev/kvm ] || { echo "# no /dev/kvm: int3 and stop are not compared" && return; }
	for how in int3 stop int3 stop; do
		"$vmpoke" demo --vcpus 2 --pokes 500 --strategy $how --json >"$tmp/demo" || die "the demo failed"
		jq -r '"poke-own-vmm \(.strategy) \(.poke_us.median) \(.poke_us.p99)"' "$tmp/demo" >>"$tmp/demos"
	done
}

# --- what came of it -------------------------------------------------------------

# Each line of figures: what, how, and per column median and maximum.
summary() {
	sort "$tmp/figures" | jq -Rn '
		def middle: sort | .[length / 2 | floor];
		[inputs | split(" ") | {what: .[0], how: .[1], wall: (.[2] | tonumber), pause: (.[3] | tonumber)}] |
		group_by([.what, .how]) |
		map({what: .[0].what, how: .[0].how, runs: length,
			"wall-ms": {median: (map(.wall) | middle), max: (map(.wall) | max)},
			"pause-us": {median: (map(.pause) | middle), max: (map(.pause) | max)}})'
}

show() {
	jq -r '["what", "by", "pause ms: median", "max", "wall ms: median", "max"],
		(.[] | [.what, .how, ."pause-us".median / 1000, ."pause-us".max / 1000, ."wall-ms".median, ."wall-ms".max]) |
		@tsv' build/bench.json | column -t -s "$(printf '\t')"
	[ ! -s "$tmp/demos" ] || { echo && echo "what by us: median p99" && cat "$tmp/demos"; } | column -t
}

command -v gdb >/dev/null || die "gdb is not installed"
on_qemu
on_kvm
mkdir -p build
summary >build/bench.json
show
echo "# load: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) cores, $runs runs; build/bench.json"
