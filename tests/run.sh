#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run tiers of tests and end with the plain line `N passed, N failed, N skipped`.
#
#   tests/run.sh unit	unit tests, no KVM
#   tests/run.sh all	everything
#
# A test prints `ok ...`, `not ok ...` or `SKIP: why`, one a line (cmocka does with TAP); a test that
# ends with an error and names no failure counts as one. Output is kept in build/log; how long each
# took, and how much of that a core was busy, in build/log/times.
set -u
cd "$(dirname "$0")/.." || exit 1
mkdir -p build/log
: >build/log/times
export CMOCKA_MESSAGE_OUTPUT=TAP
passed=0 failed=0 skipped=0 aside_pid=
make=(make --no-print-directory -j"$(nproc)")

# run_test TIER NAME SECONDS COMMAND...
run_test() {
	local tier=$1 name=$2 limit=$3 log="build/log/$1-$2.log" rc ok bad skip
	shift 3
	local TIMEFORMAT="$tier/$name: %0R s, %0U s user, %0S s system"
	{ time timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null; } 2>>build/log/times
	rc=$?
	ok=$(grep -c '^ok\b' "$log")
	bad=$(grep -c '^not ok\b' "$log")
	skip=$(grep -cE '^SKIP\b|# SKIP' "$log")
	if [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
		echo "not ok - $tier/$name ended with $rc$([ $rc -eq 124 ] && echo ' (timed out)')" >>"$log"
	elif [ $((ok + bad + skip)) -eq 0 ]; then
		bad=1
		echo "not ok - $tier/$name checked nothing" >>"$log"
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	tier_ok=$((tier_ok + ok)) tier_bad=$((tier_bad + bad)) tier_skip=$((tier_skip + skip))
	grep -E '^SKIP|# SKIP' "$log" | sed "s|^|$tier/$name: |"
	if [ "$bad" -gt 0 ]; then
		echo "--- $tier/$name failed; the end of $log:"
		tail -n 40 "$log"
	fi
}

begin() {
	tier_ok=0 tier_bad=0 tier_skip=0 tier_start=$SECONDS
}

finish() { # NAME
	printf '%-14s %4d passed, %d failed, %d skipped  (%d s)\n' "$1" $tier_ok $tier_bad $tier_skip \
		$((SECONDS - tier_start))
}

build() { # TIER ARGS...
	local log="build/log/$1-build.log"
	shift
	"${make[@]}" "$@" >"$log" 2>&1 && return 0
	echo "not ok - $log"
	tail -n 30 "$log"
	failed=$((failed + 1)) tier_bad=$((tier_bad + 1))
	return 1
}

unit_tier() { # NAME FOLDER MAKE-ARGS...
	local name=$1 out=$2 t
	shift 2
	begin
	if build "$name" "$@" test-bins; then
		for t in "$out"/tests/test_*; do
			run_test "$name" "${t##*/}" 120 "$t"
		done
	fi
	finish "$name"
}

style_tier() {
	begin
	run_test style format 60 bash -c \
		'make --no-print-directory format-check && echo "ok - clang-format"'
	run_test style layers 600 .ci/layers.sh
	run_test style size 60 .ci/size.sh
	run_test style api 600 .ci/api.sh
	finish style
}

lint_tier() {
	begin
	run_test lint lint 1200 .ci/lint.sh
	finish lint
}

fuzz_tier() { # a fixed number of inputs; `make fuzz` goes on
	begin
	run_test fuzz fuzz 1200 make --no-print-directory -j"$(nproc)" fuzz-check
	finish fuzz
}

integration_tier() { # guests on this machine's KVM, and Linux under its QEMU
	local t name elsewhere=" $on_both_cores linux-matrix "
	begin
	if build integration tests-all && build integration-tsan SAN=thread all; then
		for t in tests/integration/*.sh; do
			name=${t##*/}
			[[ $elsewhere == *" ${name%.sh} "* ]] ||
				run_test integration "${name%.sh}" 1200 bash "$t"
		done
	fi
	finish integration
}

matrix_tier() { # Linux of other ages, under QEMUs of other ages
	begin
	run_test matrix linux 2400 bash tests/integration/linux-matrix.sh
	finish matrix
}

# What shows itself only if two cores really run at the same time.
on_both_cores="demo cores"
cores_tier() {
	local name
	begin
	if build cores tests-all; then
		for name in $on_both_cores; do
			run_test cores "$name" 1200 bash "tests/integration/$name.sh"
		done
	fi
	finish cores
}

explore_tier() { # every interleaving within bounds, and the seeded faults it must find
	begin
	if build explore explore-bin; then
		run_test explore engine 900 build/tests/explore
		run_test explore mutants 900 make --no-print-directory -s mutants
	fi
	finish explore
}

rigs_tier() { # real KVM semantics, on hosts that are emulated
	begin
	run_test rigs vmx 2400 tests/rigs/vmx.sh
	run_test rigs svm 1800 tests/rigs/svm.sh
	run_test rigs vmx-linux 3000 tests/rigs/vmx-linux.sh
	finish rigs
}

qemu-kvm_tier() { # stock QEMU with KVM, on a host that is emulated
	begin
	build qemu-kvm tests-all build/rigs/vmpoke && run_test qemu-kvm qemu-kvm 2400 tests/rigs/qemu-kvm.sh
	finish qemu-kvm
}

# Run tiers, one after the other, beside all others; they must build nothing. collect() waits for them.
aside() { # FUNCTION...
	rm -f build/log/aside.counts
	(
		passed=0 failed=0 skipped=0
		for tier; do
			"$tier"
		done
		echo $passed $failed $skipped >build/log/aside.counts
	) >build/log/aside.log 2>&1 &
	aside_pid=$!
}

collect() {
	local p f s
	wait "$aside_pid"
	cat build/log/aside.log
	read -r p f s <build/log/aside.counts || p=0 f=1 s=0
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

clang_tier() { # the whole tree with the other compiler
	begin
	if build clang CC=clang OUT=build/clang GUEST_OUT=build/clang/guest all; then
		passed=$((passed + 1)) tier_ok=1
	fi
	finish clang
}

conclude() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ]
	exit
}

# Not of the whole: it has not come to its end on a quiet machine so far.
alone="qemu-kvm"

# The tiers by name, in the order of `all`, and what each holds.
tiers="
explore	every interleaving within bounds, and the seeded faults that must be found
unit	unit tests, no KVM
unit-asan	the same with sanitizers
clang	the whole tree with the other compiler
style	format, layers, sizes
lint	clang-tidy and cppcheck
fuzz	a fixed number of inputs for each fuzzer
integration	guests on this machine's KVM, and Linux under its QEMU
rigs	real KVM semantics, on hosts that are emulated
cores	what shows itself only if two cores really run at the same time
matrix	Linux 5.10 to the newest, under QEMU 7.2 to the newest
qemu-kvm	stock QEMU with KVM on an emulated host; not part of the whole so far
"

list() {
	printf '%s' "${tiers#?}"
}

run_tier() { # NAME
	case $1 in
	unit) unit_tier unit build ;;
	unit-asan) unit_tier unit-asan build/san-address-undefined SAN=address,undefined ;;
	rigs) begin; build rigs tests-all build/rigs/vmpoke && rigs_tier ;;
	matrix) begin; build matrix all && matrix_tier ;;
	*) "$1_tier" ;;
	esac
}

run_all() {
	local tier
	run_tier explore
	[ $failed -eq 0 ] || conclude # a broken protocol is named within a minute; no guest is to see it
	begin
	build rigs tests-all build/rigs/vmpoke && aside rigs_tier matrix_tier
	for tier in unit unit-asan clang style lint fuzz integration; do
		run_tier $tier
	done
	[ -z "$aside_pid" ] || collect
	run_tier cores
	echo "not part of this run so far (docs/architecture.md): make check TIER='$alone'"
}

case ${1-all} in
all) run_all ;;
list) list; exit 0 ;;
*)
	for tier; do
		list | grep -q "^$tier"$'\t' && continue
		echo "no tier \"$tier\"; there are: all $(list | cut -f1 | tr '\n' ' ')" >&2
		exit 2
	done
	for tier; do
		run_tier "$tier"
	done
	;;
esac

conclude
