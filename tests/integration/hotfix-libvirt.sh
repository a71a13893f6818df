#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hotfixes on a domain of a real libvirt with a lock manager: applied, seen at work, listed, removed. While
# a function of the guest is called the domain runs and holds the lease on its disk; its owner pauses it
# amid a call; vmpoke is killed amid one; and somebody else has the lease when it is to go on.
#
#	HOTFIX_KILLS=N	how often it is killed at any step (tests/linux/killer.c) besides
#	LINUX_SEED=N	repeats the choice of them
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-libvirt.sh"
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"
kills=${HOTFIX_KILLS:-5}

hotfix_headers generic

build() { # NAME SOURCE
	check "$1 builds" "$vmpoke" hotfix build "$2" --headers "$headers" -o "$tmp/$1.o"
}

# One whose own function takes so long that there is time to look.
write_slow() { # NAME VERSION MILLISECONDS
	printf '%s\n' '#include <linux/kernel.h>' '#include <linux/delay.h>' '#include <vmpoke/hotfix.h>' \
		"VMPOKE_HOTFIX(\"$1\", \"$2\", \"a test\");" \
		'static unsigned int fixed(void) { return 76; } VMPOKE_REPLACE(nr_running, fixed);' \
		"static int slow(void) { pr_err(\"told: slow\\n\"); msleep($3); return 0; } VMPOKE_BEFORE_APPLY(slow);" >"$tmp/$1.c"
	build "$1" "$tmp/$1.c"
}

build three "$here/../hotfixes/three-together.c"
write_slow slow 1 8000

check "a taker of leases builds" "${CC:-cc}" -O -Wall -Werror -o "$tmp/lease" "$here/../linux/lease.c"
check "the killer, too" "${CC:-cc}" -shared -fPIC -O -D_GNU_SOURCE -Wall -Werror -o "$tmp/killer.so" \
	"$here/../linux/killer.c"
libvirt_define no_hash_pointers
libvirt_start

# What vmpoke says stays in said.
say() {
	local code
	vp "$@" >"$tmp/said" 2>&1
	code=$?
	cat "$tmp/said"
	return $code
}
runs() { # NUMBER: the guest says so many tasks run
	guest_run web 'cat /proc/loadavg' >"$tmp/loadavg"
	[[ "$(head -n 1 "$tmp/loadavg")" == *" $1/"* ]] || { cat "$tmp/loadavg"; return 1; }
}
as_ever() { guest_run web 'cat /proc/loadavg' >"$tmp/loadavg" && ! grep -qE ' (42|76)/|all 42' "$tmp/loadavg"; }
is() { [ "$(domain web)" = "$1" ]; }
well() { # TEXT: it runs, and the lease is held
	same "$1: it runs" "$(domain web)" running
	check "$1: the lease is held" leased
}
memory() { guest_run web 'cat /proc/vmallocinfo' | awk '$1 ~ /^0xffffffff/ {$1 = ""; print}' | LC_ALL=C sort; }

check "the load is at work" guest_run web 'load start; load settle'
check "a first time: applied" say hotfix apply $to "$tmp/three.o"
well "a first time"
check "and removed" say hotfix remove $to three-together
memory >"$tmp/memory"

# --- applied and removed ---------------------------------------------------------------

check "three functions are applied" say hotfix apply $to "$tmp/three.o" --json
jq -c '{tries, calls, "wall-ms", pauses, "longest-pause-us"}' "$tmp/said" | sed 's/^/#  /'
check "the guest uses them" runs 42
check "all of them" grep -q 'all 42' "$tmp/loadavg"
well "applied"
check "list" say hotfix list $to
check "list names it" grep -q 'three-together' "$tmp/said"
check "removed" say hotfix remove $to three-together
check "the guest has its own again" as_ever
well "removed"

# --- amid a call -----------------------------------------------------------------------

# By the console: it may be the guest's shell whose task was borrowed.
begun() { grep -c 'told: slow' "$tmp/console"; }
begin() { # apply it, in the background, until its own function is being called
	local before end=$((SECONDS + 60))
	before=$(begun)
	"${user[@]}" "$tmp/vmpoke" hotfix apply $to "$tmp/slow.o" >"$tmp/said" 2>&1 </dev/null &
	pid=$!
	until [ "$(begun)" -gt "$before" ]; do
		[ $SECONDS -lt $end ] && kill -0 $pid 2>/dev/null || return
		sleep 0.1
	done
}
ended() { # CODE
	wait $pid
	code=$?
	cat "$tmp/said"
	[ $code -eq "$1" ]
}

check "its own function is being called" begin
well "amid a call"
check "it is applied all the same" ended 0
check "the guest uses it" runs 76
well "behind it"
check "removed" say hotfix remove $to slow

check "its own function is being called" begin
virsh suspend web >/dev/null
sleep 4
same "paused by its owner amid a call: it stays so" "$(domain web)" paused
ok "paused by its owner amid a call: its lease is given back" "$(! leased; echo $?)"
check "vmpoke waits for him" kill -0 $pid
virsh resume web >/dev/null
check "when it goes on, so does the call" ended 0
check "the guest uses it" runs 76
well "behind that"
check "removed" say hotfix remove $to slow
check "the guest has its own again" as_ever

# --- killed ------------------------------------------------------------------------------

marked() { # it is refused, with the advice
	say hotfix apply $to "$tmp/three.o"
	[ $? -eq 9 ] && grep -q 'vmpoke recover' "$tmp/said"
}

check "its own function is being called" begin
kill -9 $pid
wait $pid 2>/dev/null
well "killed amid a call"
check "the call comes to its end: it stops" until_true 60 is paused
ok "its lease is given back" "$(! leased; echo $?)"
check "the next one may not begin" marked
"$tmp/lease" "$tmp/disk" >"$tmp/leased" 2>&1 &
holder=$!
check "somebody else takes the lease" until_true 20 grep -q held "$tmp/leased"
refused "recover: libvirt does not let it go on" 'lock' recover $to
same "it stays paused" "$(domain web)" paused
kill $holder
wait $holder 2>/dev/null
check "recover" say recover $to
well "recovered"
check "the guest has its own" as_ever
same "recover has nothing more to do" "$(vp recover $to)" 'no vmpoke was interrupted here'

check "its own function is being called" begin
kill -9 $pid
wait $pid 2>/dev/null
check "killed: recovered while the call is still under way" say recover $to
well "recovered"
check "the guest has its own" as_ever

# --- killed anywhere -----------------------------------------------------------------------

now() { # what the guest has: applied, removed; or a mixture, which is wrong
	guest_run web 'cat /proc/loadavg' >"$tmp/loadavg"
	if [[ "$(cat "$tmp/loadavg")" == "42.00 42.00 42.00 42/"*$'\n''all 42' ]]; then
		echo applied
	elif grep -q 42.00 "$tmp/loadavg" || [ "$(wc -l <"$tmp/loadavg")" -ne 1 ]; then
		echo mixture
	else
		echo removed
	fi
}
hotfix() { # apply|remove: with the killer
	local what=three-together
	[ "$1" = remove ] || what=$tmp/three.o
	as_user env LD_PRELOAD="$tmp/killer.so" timeout 60 "$tmp/vmpoke" hotfix "$1" $to "$what" \
		</dev/null >"$tmp/out" 2>&1
}
steps() { # apply|remove: how many
	as_user touch "$tmp/state/steps" && KILLER_COUNT=$tmp/state/steps hotfix "$1" || { cat "$tmp/out"; return 1; }
	eval "$1=$(wc -l <"$tmp/state/steps")"
	rm "$tmp/state/steps"
}
kill_once() {
	local what=apply n=$apply at
	[ "$(now)" = removed ] || what=remove n=$remove
	at=$((1 + RANDOM % n))
	if [ $((RANDOM % 2)) -eq 0 ]; then
		KILLER_AT=$at hotfix $what
	else
		KILLER_AT=$at KILLER_BEHIND=1 hotfix $what
	fi
	killed=$((killed + ($? == 137)))
	is running || paused=$((paused + 1))
	echo "#  $what, step $at of $n: $(domain web)"
	vp recover $to && is running && leased && [ "$(now)" != mixture ]
}

apply=1 remove=1 killed=0 paused=0
check "its steps are counted" steps apply
check "and those of a removal" steps remove
# How many steps it takes is not always the same, so some rounds end before their step.
for ((i = 0; killed < kills && i < 4 * kills; i++)); do
	check "killed: it runs, with the lease, and has all or nothing" kill_once
	grep '^#  ' "$tmp/check"
done
ok "killed $killed times in $i rounds, $paused of them while it was stopped" $((killed < kills))
[ "$(now)" = removed ] || check "removed" say hotfix remove $to three-together

# --- in the end ------------------------------------------------------------------------------

check "it can be applied as before" say hotfix apply $to "$tmp/three.o"
check "the guest uses it" runs 42
check "and removed" say hotfix remove $to three-together
check "the guest has its own" as_ever
memory_is() { memory >"$tmp/memory.now"; diff "$tmp/memory" "$tmp/memory.now"; }
check "no memory of the guest is lost" until_true 20 memory_is
check "the load goes on, without an error" guest_run web 'load check'
virsh qemu-monitor-command web --hmp 'info chardev' >"$tmp/chardevs"
ok "no gdbstub is left open" "$(! grep -q vmpoke "$tmp/chardevs"; echo $?)"
well "in the end"
exit $failed
