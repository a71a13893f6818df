#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hotfixes are applied to a stock Debian kernel under load and removed: three functions at once, one
# over another, one in the place of all; with functions of theirs that are called; from another host;
# and who is inside is waited for. In the end every byte of the code, the memory of modules and the log
# are as before.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-modules.sh"
sources=$here/../hotfixes

hotfix_headers generic

build() { # NAME [SOURCE]
	vp hotfix build "${2:-$tmp/$1.c}" --headers "$headers" -o "$tmp/$1.o" >"$tmp/out" 2>"$tmp/log" ||
		cat "$tmp/log"
}

write_hotfix() { # NAME VERSION C...
	local name=$1 version=$2
	shift 2
	printf '%s\n' '#include <linux/kernel.h>' '#include <linux/delay.h>' '#include <linux/hrtimer.h>' \
		'#include <vmpoke/hotfix.h>' "VMPOKE_HOTFIX(\"${name%%.*}\", \"$version\", \"a test\");" \
		"$@" >"$tmp/$name.c"
	build "$name"
}

running() { # NUMBER: one that says so many tasks run
	echo "static unsigned int fixed(void) { return $1; } VMPOKE_REPLACE(nr_running, fixed);"
}

build three "$sources/three-together.c"
write_hotfix one 1 "$(running 71)"
write_hotfix over 1 "$(running 72)"
write_hotfix one.other 2 "$(running 73)"
write_hotfix all 1 "$(running 74)"
write_hotfix sleeper 1 \
	'static unsigned int fixed(void) { msleep(4000); return 75; } VMPOKE_REPLACE(nr_running, fixed);'
write_hotfix inside 1 'static long fixed(ktime_t t, const enum hrtimer_mode m, const clockid_t c)' \
	'{ return 0; } VMPOKE_REPLACE(hrtimer_nanosleep, fixed);'
told='static int told_%s(void) { pr_info("told: %s\\n"); return 0; } VMPOKE_%s(told_%s);\n'
write_hotfix calls 1 "$(running 76)" "$(for when in BEFORE_APPLY AFTER_APPLY BEFORE_REMOVE AFTER_REMOVE; do
	# shellcheck disable=SC2059
	printf "$told" $when $when $when $when
done)"
write_hotfix unwilling 1 "$(running 77)" 'static int no(void) { return -5; } VMPOKE_BEFORE_APPLY(no);'

guest_start g generic && guest_symbols g
ok "boots" $? || exit 1
gdb=$(target g gdb) qmp=$(target g qmp)

runs() { # NUMBER: the guest says so many tasks run
	guest_run g 'cat /proc/loadavg' >"$tmp/loadavg"
	[[ "$(head -n 1 "$tmp/loadavg")" == *" $1/"* ]] || { cat "$tmp/loadavg"; return 1; }
}
as_ever() { guest_run g 'cat /proc/loadavg' >"$tmp/loadavg" && ! grep -qE ' (42|7[0-9])/|all 42' "$tmp/loadavg"; }
same_text() { guest_text g "$tmp/text" && cmp "$tmp/before" "$tmp/text"; }
# What vmpoke says stays in said.
say() {
	local code
	vp "$@" >"$tmp/said" 2>&1
	code=$?
	cat "$tmp/said"
	return $code
}
apply() { say hotfix apply "$@"; }
remove() { say hotfix remove "$@"; }

# --- traced, before the load makes that slow -----------------------------------------

check "applied, under a tracer to come" apply "$qmp" "$tmp/three.o"
trace='cd /sys/kernel/debug/tracing'
check "the function tracer comes and goes" guest_run g \
	"$trace; for i in 1 2; do echo function >current_tracer; echo nop >current_tracer; done"
same "ftrace is well" "$(guest_run g 'cat /proc/sys/kernel/ftrace_enabled')" 1
check "the guest still uses them" runs 42
refused "a revert of its poke names the right command" 'hotfix remove' revert "$qmp"
check "removed" until_true 20 remove "$qmp" three-together
check "the guest has its own again" as_ever

# --- signed -----------------------------------------------------------------------------

mkdir "$tmp/ring"
vp hotfix keygen "$tmp/alice" --no-password >"$tmp/out"
cp "$tmp/alice.pub" "$tmp/ring"
refused "unsigned, with a keyring" 'is not signed' hotfix apply "$qmp" "$tmp/one.o" --keyring "$tmp/ring"
refused "... check says so, too" 'is not signed' hotfix check "$qmp" "$tmp/one.o" --keyring "$tmp/ring"
check "signed" vp hotfix sign "$tmp/one.o" --key "$tmp/alice.key" --embed
check "check takes it" say hotfix check "$qmp" "$tmp/one.o" --keyring "$tmp/ring"
check "apply takes it" apply "$qmp" "$tmp/one.o" --keyring "$tmp/ring"
check "the guest uses it" runs 71
say hotfix list "$qmp" >"$tmp/out"
check "the list says who signed" grep -q 'signed by alice.pub ([0-9A-F]*): timestamp:' "$tmp/said"
say status "$qmp" --history >"$tmp/out"
check "... and the history" grep -q '; signed by alice.pub (' "$tmp/said"
check "removed without a signature" until_true 20 remove "$qmp" one
check "the guest has its own again" as_ever
check "taken out of it" vp hotfix sign "$tmp/one.o" --detach
rm "$tmp/one.o.minisig"

check "the load is at work" guest_run g 'load start; load settle'
check "a first time: applied" apply "$qmp" "$tmp/one.o"
check "and removed" remove "$qmp" one
guest_modules "$tmp/modules"
guest_warnings g >"$tmp/warnings"
guest_text g "$tmp/before"

# --- three at once ----------------------------------------------------------------

for to in "$gdb" "$qmp"; do
	way=${to%%:*}
	check "$way: three functions are applied" apply "$to" "$tmp/three.o" --json
	jq -c '{tries, calls, "wall-ms", "memory-bytes", pauses, "longest-pause-us"}' "$tmp/said" | sed 's/^/#  /'
	check "$way: its report" jq -e '.applied and .calls >= 3 and .["memory-bytes"] >= 8192 and .id > 0' "$tmp/said"
	check "$way: the guest uses them" runs 42
	check "$way: all of them" grep -q 'all 42' "$tmp/loadavg"
	check "$way: applied once more" apply "$to" "$tmp/three.o"
	check "$way: which is no news" grep -q 'already applied' "$tmp/said"
	check "$way: status" say status "$to"
	check "$way: names it" grep -q 'hotfix-apply three-together 1' "$tmp/said"
	check "$way: they are removed" remove "$to" three-together
	check "$way: the guest has its own again" as_ever
	check "$way: every byte of it" same_text
done

# --- one over the other -------------------------------------------------------------

check "one" apply "$qmp" "$tmp/one.o"
refused "of the same name, another one" 'applied already' hotfix apply "$qmp" "$tmp/one.other.o"
check "one over it" apply "$qmp" "$tmp/over.o"
check "the newer one counts" runs 72
refused "the older one does not go first" 'over is newer' hotfix remove "$qmp" one
check "the newer one goes" remove "$qmp" over
check "the older one counts" runs 71
check "the three over that" apply "$gdb" "$tmp/three.o"
check "they count" runs 42
check "all are replaced" apply "$qmp" "$tmp/all.o" --replace
check "by the new one" runs 74
check "the other functions are the guest's own" test "$(wc -l <"$tmp/loadavg")" -eq 1
refused "what was replaced is not there" 'no hotfix one' hotfix remove "$qmp" one
check "the new one goes" remove "$gdb" all
check "the guest has its own again" as_ever
check "every byte of it" same_text

# --- from another host ---------------------------------------------------------------

check "applied" apply "$qmp" "$tmp/one.o"
export VMPOKE_STATE_DIR=$tmp/other
check "with another ledger it is applied as well" apply "$qmp" "$tmp/one.o"
check "as is known" grep -q 'already applied' "$tmp/said"
check "and is removed" remove "$qmp" one
export VMPOKE_STATE_DIR=$tmp/state
check "the guest has its own again" as_ever
refused "it is gone with the first ledger, too" 'no hotfix one' hotfix remove "$qmp" one
check "which is told by a revert" vp revert "$qmp"

# --- functions that are called --------------------------------------------------------

tells() { guest_run g 'dmesg' | grep -o 'told: .*' | paste -sd' '; }
check "with calls: applied" apply "$qmp" "$tmp/calls.o"
same "with calls: at their moments" "$(tells)" 'told: BEFORE_APPLY told: AFTER_APPLY'
check "with calls: removed" remove "$qmp" calls
same "with calls: at theirs" "$(tells)" \
	'told: BEFORE_APPLY told: AFTER_APPLY told: BEFORE_REMOVE told: AFTER_REMOVE'
refused "a function of it says no" 'said -5' hotfix apply "$qmp" "$tmp/unwilling.o"
check "the guest has its own" as_ever

# --- who is inside ----------------------------------------------------------------------

guest_run g 'sleep 300 & echo $! >/tmp/sleeper'
refused "somebody sleeps inside" "hrtimer_nanosleep" hotfix apply "$qmp" "$tmp/inside.o" --when-idle=3
same "somebody sleeps inside: not begun" $exit_code 5
guest_run g 'kill $(cat /tmp/sleeper)'
check "every byte of the guest's code is as before" same_text

check "one that sleeps: applied" apply "$qmp" "$tmp/sleeper.o"
guest_run g 'cat /proc/loadavg >/dev/null & sleep 0.5'
check "one that sleeps: removed, with somebody inside" remove "$qmp" sleeper --no-wait
check "its memory stays" grep -q 'memory stays' "$tmp/said"
check "the guest has its own" as_ever
check "once nobody is there" sleep 5
check "recover frees it" say recover "$qmp"
check "and says so" grep -q 'freed' "$tmp/said"

# --- in the end -----------------------------------------------------------------------------

check "every byte of its code is as before" same_text
check "its vmallocinfo, too" until_true 20 guest_modules_are "$tmp/modules"
same "it runs" "$(guest_status g)" running
check "the load goes on, without an error" guest_run g 'load check'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" diff "$tmp/warnings" "$tmp/warnings.now"
exit $failed
