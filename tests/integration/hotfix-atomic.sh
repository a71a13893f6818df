#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The three functions of tests/hotfixes/three-together.c change at one moment: programs of the guest,
# one on each vCPU, call through all three without end while the hotfix is applied and removed again and
# again, under load, and none ever sees a mixture. The guest's memory is where it was in the end.
#
#	ROUNDS=N	how often: 8 by itself, 1000 by hand. With 200 and more a page lost in each round is
#			seen in the free memory; that nothing is left of it in vmallocinfo is seen anyway
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-hotfix.sh"
rounds=${ROUNDS:-8}
slack=600 # KB that come and go by themselves

start_watch() {
	guest_run g 'setsid shows watch >/run/watch 2>&1 & echo $! >/run/watch-pid; sleep 1; kill -0 $(cat /run/watch-pid)'
}
stop_watch() {
	guest_run g 'kill $(cat /run/watch-pid); while pidof shows; do sleep 0.1; done' >"$tmp/out"
}

# READS CHANGES MIXTURES so far
watched() {
	guest_run g 'kill -USR1 $(cat /run/watch-pid); sleep 0.3; tail -n 1 /run/watch'
}

# Each of them is to see the new functions before they go, and the old ones before they come.
rounds_pass() { # N
	local i seen before what tries
	for ((i = 1; i <= $1; i++)); do
		for what in apply remove; do
			before=$(watched)
			tries=0
			hotfix_$what three-together || { echo "round $i: $what" && return 1; }
			until seen=$(watched) && [ "$(echo "$seen" | cut -d' ' -f2)" -ge $(($(echo "$before" | cut -d' ' -f2) + GUEST_VCPUS)) ]; do
				[ $((++tries)) -lt 200 ] || { echo "round $i: $what is not seen: $seen" && return 1; }
			done
			[ "$(echo "$seen" | cut -d' ' -f3)" = 0 ] || { echo "round $i: $seen" && return 1; }
		done
	done
}

settle() { # no load, nobody who watches: what is measured is the kernel's own
	stop_watch
	guest_run g 'load stop'
	until_true 30 guest_run g '! pidof shows && ! pidof httpd' >"$tmp/out"
}

memory_is_back() { # the kernel gives back at its leisure what it keeps for later
	after=$(hotfix_memory)
	[ $((before - after)) -lt $slack ]
}

hotfix_headers generic
check "three-together is built" hotfix_build three-together
guest_start g generic && guest_symbols g
ok "boots" $? || exit 1
check "the load is at work" guest_run g 'load start; load settle'
check "all vCPUs watch" start_watch
check "2 rounds, for what the kernel keeps" rounds_pass 2
settle
hotfix_warnings >"$tmp/warnings"
hotfix_texts "$tmp/before"
check "what the guest has is measured" guest_modules "$tmp/modules"
before=$(hotfix_memory)

guest_run g 'load start'
check "all vCPUs watch" start_watch
check "$rounds rounds of apply and remove under load, no mixture" rounds_pass "$rounds"
echo "#  reads, changes, mixtures: $(watched)"
guest_run g 'grep -c wrong /run/watch' >"$tmp/wrong"
same "nobody saw anything else" "$(cat "$tmp/wrong")" 0
check "the load goes on, without an error" guest_run g 'load check'

settle
check "its vmallocinfo is as it was" until_true 20 guest_modules_are "$tmp/modules"
check "its free memory is where it was" until_true 20 memory_is_back
echo "#  free before $before KB, after $after KB"
hotfix_texts "$tmp/after"
check "its code is as it was, byte for byte" cmp "$tmp/before" "$tmp/after"
hotfix_warned "in the end"
exit $failed
