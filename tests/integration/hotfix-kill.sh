#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `vmpoke hotfix apply` and `remove` are killed at every kind of step that they make, before it and behind
# it (tests/linux/killer.c): the guest runs, or does after `vmpoke recover`, and has all of the
# hotfix or nothing of it; and in the end no memory of the guest is lost.
#
#	HOTFIX_KILLS=N	how many of them, at random; all: each kind of step
#	LINUX_SEED=N	repeats the choice
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-modules.sh"
RANDOM=${LINUX_SEED:-$$}
echo "# LINUX_SEED=${LINUX_SEED:-$$}"
kills=${HOTFIX_KILLS:-24}

hotfix_headers generic
check "the hotfix builds" vp hotfix build "$here/../hotfixes/three-together.c" --headers "$headers" \
	-o "$tmp/three.o"
check "the killer, too" "${CC:-cc}" -shared -fPIC -O -D_GNU_SOURCE -Wall -Werror -o "$tmp/killer.so" \
	"$here/../linux/killer.c"

guest_start g generic && guest_symbols g
ok "boots" $? || exit 1
check "the load is at work" guest_run g 'load start; load settle'


# What the guest has: applied, removed; or a mixture, which is wrong.
now() {
	guest_run g 'cat /proc/loadavg' >"$tmp/loadavg"
	if [[ "$(cat "$tmp/loadavg")" == "42.00 42.00 42.00 42/"*$'\n''all 42' ]]; then
		echo applied
	elif grep -q 42.00 "$tmp/loadavg" || [ "$(wc -l <"$tmp/loadavg")" -ne 1 ]; then
		echo mixture
	else
		echo removed
	fi
}

hotfix() { # apply|remove TO: with the killer
	local what=three-together
	[ "$1" = remove ] || what=$tmp/three.o
	LD_PRELOAD=$tmp/killer.so vp hotfix "$1" "$2" "$what" >"$tmp/out" 2>&1
}

# The steps of one run: "KIND N", N counted from 1.
steps() { # apply|remove WAY
	rm -f "$tmp/steps"
	KILLER_COUNT=$tmp/steps hotfix "$1" "$(target g "$2")" || { cat "$tmp/out"; return 1; }
	sed -E 's/^pwrite .*"event":"([a-z]+)".*/pwrite-\1/; s/^sendmsg .*"execute": "([a-z-]+)".*/qmp-\1/
		s/^send \$(vCont|[Zz]1|[Qq][A-Za-z]+|[A-Za-z]).*/gdb-\1/; s/^send .*/gdb-other/; s/ .*//' "$tmp/steps" |
		awk -v of="$1 $2" '{print of, $1, NR}'
}

for way in gdb qmp; do
	for what in apply remove; do
		steps $what $way >>"$tmp/all" 2>"$tmp/log"
		ok "$way: $what: $(grep -c "^$what $way" "$tmp/all") steps" $?
	done
done
guest_modules "$tmp/modules"
guest_warnings g >"$tmp/warnings"
guest_text g "$tmp/before"

# Of each kind one, and on which side of it: "WHAT WAY KIND N SIDE".
choose() {
	awk -v seed=$RANDOM 'BEGIN {srand(seed)} {k = $1 " " $2 " " $3; list[k] = list[k] " " $4; n[k]++}
		END {for (k in list) {split(list[k], at, " "); for (s = 0; s < 2; s++)
			print rand(), k, at[1 + int(rand() * n[k])], s ? "behind" : "before"}}' "$tmp/all" |
		sort -n | cut -d' ' -f2- | if [ "$kills" = all ]; then cat; else head -n "$kills"; fi
}

killed=0 paused=0 left=0
kill_once() { # WHAT WAY KIND N SIDE
	local to before status
	to=$(target g "$2") before=removed
	[ "$1" = apply ] || before=applied
	if [ "$(now)" != $before ]; then # bring it there first
		if [ $before = applied ]; then vp hotfix apply "$to" "$tmp/three.o"; else vp hotfix remove "$to" three-together; fi ||
			return
	fi
	export KILLER_AT=$4 KILLER_BEHIND=
	[ "$5" = behind ] && KILLER_BEHIND=1 || unset KILLER_BEHIND
	hotfix "$1" "$to"
	[ $? -ne 137 ] || killed=$((killed + 1))
	unset KILLER_AT KILLER_BEHIND
	status=$(guest_status g)
	[ "$status" = running ] || paused=$((paused + 1))
	vp info "$to" >"$tmp/out" 2>"$tmp/err"
	if grep -q 'vmpoke recover' "$tmp/err"; then
		left=$((left + 1))
		vp recover "$to" || return
	elif [ "$status" != running ]; then
		echo "it is $status, and the next vmpoke does not say why" && return 1
	fi
	status=$(guest_status g)
	[ "$status" = running ] || { echo "it is $status"; return 1; }
	status=$(now)
	[ "$status" != mixture ] || { cat "$tmp/loadavg"; return 1; }
	echo "$status"
}

rounds=0 bad=0
while read -r what way kind n side; do
	rounds=$((rounds + 1))
	kill_once $what $way $kind "$n" $side >"$tmp/check" 2>&1 </dev/null
	code=$?
	echo "#  $what, $way, $side $kind ($n): $(tail -n 1 "$tmp/check")"
	[ $code -eq 0 ] && continue
	bad=$((bad + 1))
	sed 's/^/#    /' "$tmp/check"
	[ $bad -lt 3 ] || break
	vp recover "$(target g $way)" 2>&1 | sed 's/^/#    /'
done < <(choose)
ok "killed $killed times in $rounds, $paused of them while it was stopped, $left of them with work for recover" $bad
ok "most of them were hit" $((killed * 3 < rounds * 2))

[ "$(now)" = removed ] || check "removed in the end" vp hotfix remove "$(target g qmp)" three-together
same "recover has nothing to do" "$(vp recover "$(target g qmp)")" 'no vmpoke was interrupted here'
guest_text g "$tmp/after"
check "every byte of its code is as before" cmp "$tmp/before" "$tmp/after"
check "its vmallocinfo, too: no memory is lost" until_true 20 guest_modules_are "$tmp/modules"
check "the load goes on, without an error" guest_run g 'load check'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" diff "$tmp/warnings" "$tmp/warnings.now"
exit $failed
