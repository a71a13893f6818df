#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Functions of a stock Debian kernel are called from outside: memory is got and given back again and
# again, under load and in an idle guest; and whoever calls is killed.
#
#	tests/integration/hotfix-calls.sh [FLAVOUR]
#
#	CALLS_KILLS=N	how often with kill -9
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-modules.sh"
calls=${CALLS:-$here/../../build/tests/hotfix_calls}
[ -x "$calls" ] || { echo "not ok - $calls is built (make tests-all)" && exit 1; }
flavour=${1:-generic}
kills=${CALLS_KILLS:-12}
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"

hotfix_calls() { timeout --kill-after=5 120 "$calls" "$@" </dev/null; }

# QEMU's own word on how long the guest stood still: STOP to RESUME, each. Shown, not judged.
watch_pauses() {
	coproc WATCH { exec socat - UNIX-CONNECT:"$(guest_dir g)/watch" >"$tmp/events" 2>/dev/null; }
	watcher=$WATCH_PID
	echo '{"execute":"qmp_capabilities"}' >&"${WATCH[1]}"
}
show_pauses() {
	kill -9 "$watcher" 2>/dev/null
	wait "$watcher" 2>/dev/null
	jq -r 'select(.event == "STOP" or .event == "RESUME") |
		"\(.event) \(.timestamp.seconds) \(.timestamp.microseconds)"' "$tmp/events" 2>/dev/null |
		awk '{t = ($2 % 100000) * 1000 + $3 / 1000} $1 == "STOP" {s = t} $1 == "RESUME" && s {printf "%.2f\n", t - s; s = 0}' |
		sort -n | awk '{p[NR] = $1} END {if (NR) printf "#  %d pauses: median %s ms, p90 %s ms, longest %s ms\n", NR, p[int((NR + 1) / 2)], p[int(NR * 0.9 + 0.5)], p[NR]}'
}

check_cycles() { # TEXT TARGET N
	watch_pauses
	check "$1: $3 times memory is got, called, and freed" hotfix_calls "$2" cycle "$3"
	show_pauses
	grep -c '^alloc' "$tmp/check" | grep -qx "$3"
	ok "$1: all of them" $?
	awk '/^alloc/ {n++; s += $5; m += $7; w += $9; c += $11}
		END {printf "#  alloc: %.1f stops, %.1f times on another vCPU, %d ms to a safe point, %d ms in calls\n",
			s / n, m / n, w / n, c / n}' "$tmp/check"
	check "$1: its vmallocinfo is as before" until_true 20 guest_modules_are "$tmp/modules"
	guest_warnings g >"$tmp/warnings.now"
	check "$1: no new warning in its log" cmp "$tmp/warnings" "$tmp/warnings.now"
}

# Killed at some moment of a cycle; then it is put right, by the rig or by vmpoke itself.
check_kill() { # TARGET MS RECOVER...
	local target=$1 ms=$2 pid code
	shift 2
	: >"$tmp/recovered"
	"$calls" "$target" cycle 1000 >"$tmp/cycles" 2>&1 </dev/null &
	pid=$!
	until_true 60 grep -q '^free' "$tmp/cycles"
	sleep "$(printf '0.%03d' "$ms")"
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	code=$?
	"$@" >"$tmp/recovered" 2>&1 || { echo "#  killed after $ms ms; recover ended with $?"; return 1; }
	[ "$(guest_status g)" = running ] || { echo "#  killed after $ms ms; the guest is $(guest_status g)"; return 1; }
	grep -q '^free' "$tmp/cycles" || # what is judged here is the recovery
		echo "#  no cycle came to its end in 60 s; it ended with $code: $(cat "$tmp/cycles")"
}

guest_start g "$flavour"
ok "boots" $? || exit 1
guest_run g 'load start; load settle' >"$tmp/settle"
ok "the load is at work" $?
hotfix_calls "$(target g gdb)" cycle 1 >"$tmp/first" 2>&1 # what the kernel has of its own after a first time
ok "a first time" $?
cat "$tmp/first"
guest_warnings g >"$tmp/warnings"
guest_modules "$tmp/modules"
check_cycles "gdb, under load" "$(target g gdb)" 20
check_cycles "qmp, under load" "$(target g qmp)" 20

bad=0 found=0
for ((i = 0; i < kills; i++)); do
	way=$([ $((i % 2)) -eq 0 ] && echo gdb || echo qmp)
	if [ $((i % 4)) -lt 2 ]; then
		check_kill "$(target g $way)" $((RANDOM % 400)) hotfix_calls "$(target g $way)" recover
	else
		check_kill "$(target g $way)" $((RANDOM % 400)) vp recover "$(target g $way)"
	fi || { bad=$((bad + 1)); echo "#  $way: $(cat "$tmp/recovered")"; }
	grep -q 'found 1' "$tmp/recovered" && found=$((found + 1))
done
ok "killed $kills times, and put right ($found of them in a call, as far as told)" $bad
check "the load goes on, without an error" guest_run g 'load check'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in its log" cmp "$tmp/warnings" "$tmp/warnings.now"

# A call that takes its time: the deadline passes, the guest runs, then stops; recover ends it.
before=$(guest_run g 'cat /proc/uptime')
VMPOKE_CALL_MS=300 hotfix_calls "$(target g gdb)" call msleep 3000 >"$tmp/out" 2>"$tmp/err"
[ $? -ne 0 ] && grep -q 'has not returned' "$tmp/err"
ok "a call that does not return in time is told" $?
sed 's/^/#  /' "$tmp/err"
[ "$(guest_status g)" = running ]
ok "the guest runs meanwhile" $?
refused "nothing else works on it" 'recover' read "$(target g gdb)" _text
check "vmpoke recover waits for it" vp recover "$(target g gdb)"
[ "$(guest_status g)" = running ] && [ "$(guest_run g 'cat /proc/uptime')" != "$before" ]
ok "and the guest runs" $?
check "the load goes on, without an error" guest_run g 'load check'

guest_run g 'load stop'
sleep 2
guest_modules "$tmp/modules" # what killed ones have left is left
check_cycles "idle" "$(target g gdb)" 20
guest_show g >"$tmp/show"
exit $failed
