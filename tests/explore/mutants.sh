#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Seeded faults of the protocol: each must be found by the explorer. See docs/exploration.md.
#
# A mutant is a sed script in mutants/ with a head of comments: `file:` is what it changes, in a copy, of the engine
# or of the local target; or `break:` names an obligation of the explorer's own target. `what:` says it in words.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${CC:=gcc}" "${OUT:=build}"
export CC OUT
seeds=tests/explore/mutants
dir=$OUT/explore/mutants

head_of() { # SEED KEY
	sed -n "s/^# $2: //p" "$1"
}

is_local() { [[ $1 == patcher/target/* ]]; } # FILE: of the local target

# What a mutant of this file is linked with: the objects of the explorer, but not the file's own.
other_objects() { # FILE
	local c
	if is_local "$1"; then
		for c in patcher/{base,x86}/*.c tests/explore/{,local/}*.c; do echo "$OUT/obj/${c%.c}.o"; done
		for c in patcher/target/local*.c; do
			[[ $c == "$1" || $c == */local_probe.c ]] || echo "$OUT/explored/${c%.c}.o"
		done
	else
		for c in patcher/{base,core,x86}/*.c tests/explore/{,engine/}*.c; do
			[ "$c" = "$1" ] || echo "$OUT/obj/${c%.c}.o"
		done
	fi
}

build_mutant() { # SEED FILE FOLDER
	local seed=$1 file=$2 to=$3
	local line others flags=()
	mapfile -t others < <(other_objects "$file")
	is_local "$file" && flags=(-include tests/explore/local/hooks.h)
	sed -f "$seed" "$file" >"$to/mutant.c" || return 1
	# A command that changes nothing: the fault is another one than its head says.
	for line in $(grep -nvE '^#|\{$|^\}' "$seed" | cut -d: -f1); do
		if sed "${line}d" "$seed" | sed -f - "$file" | cmp -s - "$to/mutant.c"; then
			echo "line $line of the seed no longer applies to $file"
			return 1
		fi
	done
	"$CC" -std=gnu11 -O1 -w -D_GNU_SOURCE -Iinclude -Ipatcher -I. "${flags[@]}" -c -o "$to/mutant.o" "$to/mutant.c" &&
		"$CC" -Wl,--wrap=calloc,--wrap=aligned_alloc,--wrap=reallocarray,--wrap=free -o "$to/explore" "$to/mutant.o" \
			"${others[@]}" -lZydis
}

# One line, and in $dir/NAME/log the schedule.
run_mutant() { # SEED
	local seed=$1 name file broken to bin=$OUT/tests/explore args=() killed
	name=$(basename "$seed" .sed)
	to=$dir/$name
	file=$(head_of "$seed" file)
	broken=$(head_of "$seed" break)
	rm -rf "$to"
	mkdir -p "$to"
	if [ -n "$file" ]; then
		bin=$to/explore
		if ! build_mutant "$seed" "$file" "$to" >"$to/log" 2>&1; then
			echo "not ok - $name: does not build: $(tail -n 1 "$to/log")"
			return
		fi
	else
		args=(--break "$broken")
	fi
	timeout 300 "$bin" --first "${args[@]}" >"$to/log" 2>&1
	killed=$(sed -nE 's/^not ok - ([^ ]+) .*\): (.*); after ([0-9]+) steps.*/\1, step \3: \2/p' "$to/log" | head -n 1)
	if [ -n "$killed" ]; then
		echo "ok - $name ($(head_of "$seed" what)): killed by $killed"
	else
		echo "not ok - $name ($(head_of "$seed" what)): survives, see $to/log"
	fi
}
export -f head_of is_local other_objects build_mutant run_mutant
export seeds dir

mkdir -p "$dir"
# What is found in the engine as it is would be found in every mutant.
for bin in explore explore-local; do
	if ! "$OUT/tests/$bin" --quick >"$dir/unchanged" 2>&1; then
		echo "not ok - $bin fails without a fault: $(grep -m 1 '^not ok' "$dir/unchanged")"
		exit 1
	fi
done
printf '%s\n' "$seeds"/*.sed | xargs -P "$(nproc)" -I{} bash -c 'run_mutant {}' | tee "$dir/summary"
n=$(find "$seeds" -name '*.sed' | wc -l)
k=$(grep -c '^ok' "$dir/summary")
echo "mutants: $k of $n killed"
[ "$k" -eq "$n" ]
