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
exec 3>&1 # for progress
slack=600 # KB that come and go by themselves

start_watch() {
	guest_run g 'setsid shows watch >/run/watch 2>&1 & echo $! >/run/watch-pid; sleep 1; kill -0 $(cat /run/watch-pid)'
}
stop_watch() {
	guest_run g 'kill $(cat /run/watch-pid); while pidof shows; do sleep 0.1; done' >"$tmp/out"
}

# READS CHANGES MIXTURES, when they have seen so many changes in all, or after a while.
watched() { # [CHANGES]
	local ask='lines=$(wc -l </run/watch); kill -USR1 $(cat /run/watch-pid)'
	ask+='; while [ $(wc -l </run/watch) -eq $lines ]; do usleep 5000; done; set -- $(tail -n 1 /run/watch)'
	guest_run g "tries=0; while :; do $ask; [ \$2 -lt ${1:-0} ] && [ \$((tries += 1)) -lt 5000 ] || break; usleep 10000; done; echo \$*"
}

# Each of them is to see the new functions before they go, and the old ones before they come.
rounds_pass() { # N
	local i what changes mixtures wanted
	read -r _ changes _ <<<"$(watched)"
	for ((i = 1; i <= $1; i++)); do
		for what in apply remove; do
			hotfix_$what three-together || { echo "round $i: $what" && return 1; }
			wanted=$((changes + GUEST_VCPUS))
			read -r _ changes mixtures <<<"$(watched $wanted)"
			[ "$changes" -ge $wanted ] || { echo "round $i: $what is not seen by all" && return 1; }
			[ "$mixtures" = 0 ] || { echo "round $i: $mixtures mixtures" && return 1; }
		done
		[ $((i % 100)) -ne 0 ] || echo "# round $i, $SECONDS s" >&3
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
