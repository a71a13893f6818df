#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# vmpoke bench: all figures are there, and none is nonsense; who is measured is as before. How fast anything is,
# no test judges.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/checks.sh
trap 'vp quit web1 2>"$tmp/quit"; guest_cleanup; rm -rf "$tmp"' EXIT
export VP_LIMIT=300

json() { # FILE FILTER
	jq -e "$2" "$tmp/$1" >/dev/null && return
	jq -c "{environments, figures: [.figures[] | del(.min, .p90)]}" "$tmp/$1" | head -c 4000
	return 1
}
positive='[.figures[] | .n, .min, .median, .p90, .p99, .max] | all(. > 0)'
ordered='.figures | all(.min <= .median and .median <= .p90 and .p90 <= .p99 and .p99 <= .max)'

# --- a guest of our own ------------------------------------------------------------------

vp bench --runs 2 --vcpus 2 --max-vcpus 2 --output "$tmp/own" --html "$tmp/page" >"$tmp/table"
ok "bench: exit code 0" $?
check "every figure is positive, but for work that was not done" json own \
	"del(.figures[] | select(.group == \"kept\" or .group == \"reached\")) | $positive"
check "... and in order" json own "$ordered"
for way in kick stop; do
	check "$way: by vCPUs" json own "[.figures[] | select(.way == \"$way\" and .group == (\"sync\", \"latency\", \"pause\")) | .x] |
		sort == [1, 1, 1, 2, 2, 2]"
	check "$way: by sites" json own "[.figures[] | select(.way == \"$way\" and .group == \"sites\") | .x] | sort ==
		[1, 4, 16, 64, 164, 256, 1000, 4096]"
	check "$way: by batches a second" json own "[.figures[] | select(.way == \"$way\" and .group == (\"kept\", \"reached\", \"gap\")) |
		.x] | unique_by(.) == [1, 10, 100, 1000]"
done
check "each kind of exit" json own '[.figures[] | select(.group == "exits" and .way == "kick") | .case] | sort ==
	["#BP: emulate", "#BP: fixup", "#BP: park, a batch", "#BP: the guest'"'"'s own", "out"]'
check "membarrier is measured, or it is said why not" json own '([.figures[].way] | index("membarrier")) or
	([.environments[0].notes[] | select(test("^membarrier: not measured: "))] | length == 1)'
check "it says where it comes from" json own '.environments | length == 1 and .[0].name == "own-vmm" and
	.[0].runs == 2 and (.[0].command | startswith("vmpoke bench --runs 2 ")) and (.[0].machine | test("cores, Linux"))'
check "a ratio" grep -q "exits, median: kick, #BP: fixup / kick, out" "$tmp/table"
check "a page with plots" [ "$(grep -c '<svg' "$tmp/page")" -ge 8 ]
cat "$tmp/own" "$tmp/own" >"$tmp/both"
vp bench --from "$tmp/both" >"$tmp/shown"
check "two runs in one file: both are shown" grep -q '^own-vmm-2: ' "$tmp/shown"
vp bench --from "$tmp/own" | cmp - "$tmp/table"
ok "what was written is shown as it was printed" $?

vp bench --only demo --against "$vmpoke" --runs 1 --max-vcpus 1 --json >"$tmp/demo"
check "beside another vmpoke" json demo '[.figures[] | .group + " " + .way] | sort ==
	["demo-median other", "demo-median this", "demo-median this, auto",
	 "demo-p99 other", "demo-p99 this", "demo-p99 this, auto"]'

# --- real cores --------------------------------------------------------------------------

if build/tests/bench-cores --runs 1 --only latency --max-vcpus 2 >"$tmp/cores" 2>"$tmp/err"; then
	check "real cores: every figure is positive" json cores "$positive"
elif grep -q "does not run CPL 3 natively" "$tmp/err"; then
	echo "SKIP: $(cat "$tmp/err")"
else
	cat "$tmp/err"
	ok "real cores" 1
fi

# --- a VM of `vmpoke run` ------------------------------------------------------------------

site=tg_jmp5_site old=0f1f440000
bytes() { vp read web1 $site --len 5 --json | jq -r .hex; }
applied() { vp status web1 --json | jq -r '.pokes | length'; }
vp run --kernel build/guest/testguest.elf --name web1 --detach >"$tmp/out" || { ok "a guest runs" 1; exit 1; }

vp bench web1 --runs 2 --json >"$tmp/vm" 2>"$tmp/notes"
ok "a VM: exit code 0" $?
check "every figure is positive" json vm "$positive"
check "all that only looks" json vm '[.figures[] | select(.group == "command-wall") | .case] | sort ==
	["all symbols", "info", "read 4096 bytes", "stop and go on"]'
check "it said so before" grep -q "nothing is written" "$tmp/notes"
check "... and for how long it stands still" grep -qE "stands still 2 times for about [0-9.]+ ms" "$tmp/notes"
batches() { vp info web1 --json | jq .stats.batches; }
check "and wrote nothing" [ "$(batches)" -eq 0 ]

vp bench web1 --runs 2 --site $site --old $old --new e900000000 --json >"$tmp/vm" 2>"$tmp/notes"
ok "a site there and back: exit code 0" $?
check "it is measured" json vm "($positive) and ([.figures[].case] | index(\"switch there\") and index(\"switch back\"))"
check "it was switched, each time" [ "$(batches)" -eq 4 ]
same "... and is as it was" "$(bytes) $(applied)" "$old 0"
vp bench web1 --site $site --old 0f1f440001 --new e900000000 >"$tmp/out" 2>"$tmp/err"
same "other bytes than those: refused" $? 3
same "... and is as it was" "$(bytes) $(applied)" "$old 0"

more_than() { [ "$(batches)" -gt "$1" ]; }
cut_off() { # SIGNAL: amid switching
	local before pid
	before=$(batches)
	"$vmpoke" bench web1 --runs 1000 --site $site --old $old --new e900000000 >"$tmp/out" 2>&1 &
	pid=$!
	until_true 20 more_than "$before"
	kill "-$1" $pid
	wait $pid
}
cut_off TERM
same "ended by a signal: its exit code" $? $((128 + 15))
same "... and is as it was" "$(bytes) $(applied)" "$old 0"
vp stop web1 >"$tmp/out"
vp bench web1 --runs 2 --json >"$tmp/vm" 2>"$tmp/notes"
check "one that stands is measured" json vm "$positive"
same "... and stands" "$(vp status web1 --json | jq -r .status)" paused

# --- a guest of QEMU -----------------------------------------------------------------------

GUEST_VCPUS=2 guest_start g generic && guest_symbols g || { ok "a guest of QEMU boots" 1; exit 1; }
to=$(target g qmp) key=sched_schedstats
guest_text g "$tmp/before"
vp bench "$to" --runs 2 --json >"$tmp/vm" 2>"$tmp/notes"
ok "a VM of QEMU: exit code 0" $?
check "how long a command takes" json vm "del(.figures[] | select(.group == \"command-pause\")) | $positive"
check "how long it stands still" json vm '[.figures[] | select(.group == "command-pause" and .case == "stop and go on")] |
	length == 1 and .[0].min > 0'
vp bench "$to" --runs 2 --key $key --json >"$tmp/vm" 2>"$tmp/notes"
ok "a key there and back: exit code 0" $?
check "it stands still for that" json vm '[.figures[] | select(.group == "command-pause" and (.case | startswith("switch")))] |
	length == 2 and all(.min > 0)'
same "in the end the key is as it was" "$(guest_schedstats g)" 0
guest_text g "$tmp/after"
check "... and so is the code" cmp "$tmp/before" "$tmp/after"
same "... and it runs" "$(guest_status g)" running
vp bench "$to" --key memory_cgrp_subsys_nosuch >"$tmp/out" 2>"$tmp/err"
same "no such key" $? 3
exit $failed
