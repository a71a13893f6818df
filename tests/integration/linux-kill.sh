#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# vmpoke is killed at random moments while it switches a static key: tests/linux/checks-kill.sh.
#
#	LINUX_KILLS=N	how often with kill -9; also for each of SIGINT, SIGTERM a fifth of it
#	LINUX_SEED=N	repeats the moments of a run, as far as moments repeat
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-kill.sh"
kills=${LINUX_KILLS:-50}
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"

guest_start g cloud && guest_symbols g
ok "boots" $? || exit 1
check "the load is at work" guest_run g 'load start; load settle'
guest_warnings g >"$tmp/warnings"
for way in gdb qmp own; do
	check_kills $way $way $((kills / 3)) $((kills / 15))
done
ok "some kills hit a moment when the VM was stopped: $paused" "$([ $paused -gt 0 ]; echo $?)"
guest_run g 'echo 1 >/proc/sys/kernel/sched_schedstats; echo 0 >/proc/sys/kernel/sched_schedstats'
check "the guest itself switches the key, correctly" guest_keys_right g
check "the load goes on, without an error" guest_run g 'load check'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" cmp "$tmp/warnings" "$tmp/warnings.now"
exit $failed
