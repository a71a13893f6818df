#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A fixed number of inputs for each fuzzer: its corpus and mutants of it, by the plain runner (gcc)
# and by libFuzzer (clang). `make fuzz-check` builds them and calls this with their names.
set -u
inputs=${FUZZ_INPUTS:-20000}
export inputs

# What takes 20 to 40 ms an input, a whole guest, gets fewer; so does the plain runner, which learns nothing.
inputs_of() { # NAME [DIVISOR]
	case $1 in
	linux | found | image) echo $((inputs / 16 / ${2:-1})) ;;
	*) echo $((inputs / ${2:-1})) ;;
	esac
}

plain() {
	local save=build/log/fuzz-$1-plain.crash n
	n=$("build/san-address-undefined/fuzz/plain-$1" "tests/fuzz/corpus/$1" "$(inputs_of "$1" 4)" "$save" \
		2>"build/log/fuzz-$1-plain.log")
	if [ $? -eq 0 ]; then
		echo "ok - fuzz $1: $n inputs, plain runner"
	else
		echo "not ok - fuzz $1, plain runner: run it on $save"
		tail -n 30 "build/log/fuzz-$1-plain.log"
	fi
}

libfuzzer() {
	local log=build/log/fuzz-$1-libfuzzer.log found=build/fuzz/found/$1

	rm -rf "$found" # what it keeps; new each time, so that each run is the same
	mkdir -p "$found"
	if "build/fuzz/fuzz/libfuzzer-$1" -runs="$(inputs_of "$1")" -seed=1 -timeout=60 -max_len=16384 \
		-artifact_prefix="build/log/fuzz-$1-" "$found" "tests/fuzz/corpus/$1" >"$log" 2>&1; then
		echo "ok - fuzz $1: $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log") inputs, libFuzzer"
	else
		echo "not ok - fuzz $1, libFuzzer: see $log"
		tail -n 30 "$log"
	fi
}
export -f inputs_of plain libfuzzer

mkdir -p build/log
out=$(for name; do printf '%s\n' "libfuzzer $name" "plain $name"; done |
	xargs -P "$(nproc)" -I '{}' bash -c '{}')
echo "$out"
! grep -q '^not ok' <<<"$out"
