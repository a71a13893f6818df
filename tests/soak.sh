#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Long runs: `vmpoke demo` over random seeds, strategies, numbers of vCPUs and hotplug, until the time
# is over or one goes wrong.
#
#   tests/soak.sh SECONDS [SEED]	SEED repeats a whole soak; each run has its own, which is printed
set -u
vmpoke=${VMPOKE:-build/vmpoke}
time=${1:-600} seed=${2:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
[[ $time =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || {
	echo "usage: tests/soak.sh SECONDS [SEED]" >&2
	exit 2
}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
RANDOM=$((seed % 32768)) SECONDS=0
end=$time runs=0
: >"$dir/all"

choose() { # sets $options
	local strategy=int3
	[ $((RANDOM % 4)) -eq 0 ] && strategy=stop
	options=(--vcpus $((RANDOM % 8 + 1)) --pokes $((RANDOM % 300 + 50)) --strategy $strategy
		--seed $((RANDOM * 32768 + RANDOM + 1)))
	[ $((RANDOM % 3)) -eq 0 ] && options+=(--hotplug)
}

report() {
	echo "soak seed $seed, $SECONDS s"
	jq -rs '"  runs         \(length)",
		"  pokes        \(map(.pokes) | add // 0)",
		"  site writes  \(map(.sites) | add // 0)",
		"  calls        \(map(.calls) | add // 0), \(map(.wrong) | add // 0) wrong",
		"  own int3     \(map(.own_int3) | add // 0), \(map(.own_int3_seen) | add // 0) seen",
		"  #BP exits    " + (["fixup", "emulate", "park", "late", "foreign"] as $kinds |
			. as $all | $kinds | map(. as $k |
			"\($all | map(.bp_exits[$k]) | add // 0) \($k)") | join(", ")),
		"  hotplug      \(map(.hotplug.added // 0) | add // 0) vCPUs added, " +
			"\(map(.hotplug.removed // 0) | add // 0) removed",
		"  slowest      \(map(.poke_us.max) | max // 0 | round) us for one batch"' "$dir/all"
}

while [ $SECONDS -lt "$end" ]; do
	choose
	timeout --kill-after=10 900 "$vmpoke" demo --json "${options[@]}" >"$dir/run" 2>"$dir/err"
	code=$?
	jq -c . "$dir/run" >>"$dir/all" 2>/dev/null
	if [ $code -ne 0 ] || ! jq -e '.ok and .wrong == 0 and .own_int3 == .own_int3_seen' \
		"$dir/run" >/dev/null; then
		[ -t 2 ] && echo >&2
		report
		cat "$dir/run" "$dir/err"
		echo "not ok - soak: exit code $code; repeat it: $vmpoke demo ${options[*]}"
		exit 1
	fi
	runs=$((runs + 1))
	line="soak: $SECONDS of $time s, $runs runs, last: ${options[*]}"
	if [ -t 2 ]; then
		printf '\r\033[K%s' "$line" >&2
	else
		echo "$line" >&2
	fi
done
[ -t 2 ] && echo >&2
report
echo "ok - soak: $runs runs, nothing wrong"
