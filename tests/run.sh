#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run tiers of tests and end with the plain line `N passed, N failed, N skipped`.
#
#   tests/run.sh unit	unit tests, no KVM
#   tests/run.sh all	all tiers but those in `alone` below
#
# A test prints `ok ...`, `not ok ...` or `SKIP: why`, one a line (cmocka does with TAP); a test that
# ends with an error and names no failure counts as one. Output is kept in build/log; how long each
# took, and how much of that a core was busy, in build/log/times.
set -u
cd "$(dirname "$0")/.." || exit 1
mkdir -p build/log
: >build/log/times
export CMOCKA_MESSAGE_OUTPUT=TAP
make=(make --no-print-directory -j"$(nproc)")
counts=build/log/counts # a line for each test: tier, passed, failed, skipped, seconds
: >$counts

# run_test TIER NAME SECONDS COMMAND...
run_test() {
	local tier=$1 name=$2 limit=$3 log="build/log/$1-$2.log" begin=$SECONDS rc ok bad skip
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
	echo "$tier $ok $bad $skip $((SECONDS - begin))" >>$counts
	grep -E '^SKIP|# SKIP' "$log" | sed "s|^|$tier/$name: |"
	if [ "$bad" -gt 0 ]; then
		echo "--- $tier/$name failed; the end of $log:"
		tail -n 40 "$log"
	fi
}

build() { # TIER ARGS...
	local tier=$1 log="build/log/$1-build.log" begin=$SECONDS bad=0
	shift
	if ! "${make[@]}" "$@" >"$log" 2>&1; then
		echo "not ok - $log"
		tail -n 30 "$log"
		bad=1
	fi
	echo "$tier 0 $bad 0 $((SECONDS - begin))" >>$counts
	return $bad
}

# The sums of a tier, or of all: passed, failed, skipped, seconds.
sums() { # [TIER]
	awk -v tier="${1-}" '!tier || $1 == tier { p += $2; f += $3; s += $4; t += $5 }
		END { print p + 0, f + 0, s + 0, t + 0 }' $counts
}

finish() { # TIER
	local p f s t
	read -r p f s t < <(sums "$1")
	printf '%-14s %4d passed, %d failed, %d skipped  (%d s)\n' "$1" "$p" "$f" "$s" "$t"
}

# --- tiers that run alone ------------------------------------------------------

# One more at a time than there are cores, as some wait for what is not to come.
unit_tier() { # NAME FOLDER MAKE-ARGS...
	local name=$1 out=$2 t
	shift 2
	build "$name" "$@" test-bins || return
	(
		for t in "$out"/tests/test_*; do
			[ "$(jobs -rp | wc -l)" -lt $(($(nproc) + 1)) ] || wait -n
			run_test "$name" "${t##*/}" 120 "$t" &
		done
		wait
	)
}

style_tier() {
	run_test style format 60 bash -c \
		'make --no-print-directory format-check && echo "ok - clang-format"'
	run_test style layers 600 .ci/layers.sh
	run_test style size 60 .ci/size.sh
	run_test style api 600 .ci/api.sh
}

lint_tier() {
	run_test lint lint 1200 .ci/lint.sh
}

fuzz_tier() { # a fixed number of inputs; `make fuzz` goes on
	run_test fuzz fuzz 1200 make --no-print-directory -j"$(nproc)" fuzz-check
}

clang_tier() { # the whole tree with the other compiler
	build clang CC=clang OUT=build/clang GUEST_OUT=build/clang/guest all &&
		echo "clang 1 0 0 0" >>$counts
}

explore_tier() { # every interleaving within bounds, and the seeded faults it must find
	local failed test
	build explore explore-bin || return
	(
		run_test explore engine 900 build/tests/explore &
		run_test explore local 1200 build/tests/explore-local &
		run_test explore mutants 1800 make --no-print-directory -s mutants &
		while [ -n "$(jobs -rp)" ]; do # the first that finds something ends the others
			wait -n
			read -r _ failed _ < <(sums explore)
			[ "$failed" -eq 0 ] || for test in $(jobs -rp); do pkill -P "$test"; done
		done
	)
}

# What shows itself only if two cores really run at the same time.
on_both_cores="demo cores"
cores_tier() {
	local name
	if build cores tests-all; then
		for name in $on_both_cores; do
			run_test cores "$name" 1200 bash "tests/integration/$name.sh"
		done
	fi
}

# --- tiers whose tests run beside others -----------------------------------------

# What each needs is built before; then its tests build nothing, and any two may run at once.
queued="rigs matrix qemu-kvm vmx-qemu integration"
build_for() { # TIER
	case $1 in
	rigs | qemu-kvm | vmx-qemu) build "$1" tests-all build/rigs/vmpoke ;;
	integration) build integration tests-all && build integration SAN=thread all ;;
	*) build "$1" all ;;
	esac
}

# A line for each test, as run_test() takes it; those that take longest first.
tests_of() { # TIER
	local t name elsewhere=" $on_both_cores linux-matrix "
	case $1 in
	rigs)
		echo rigs vmx 2400 tests/rigs/vmx.sh
		echo rigs svm 1800 tests/rigs/svm.sh
		echo rigs vmx-linux 3000 tests/rigs/vmx-linux.sh
		;;
	matrix) echo matrix linux 2400 bash tests/integration/linux-matrix.sh ;;
	qemu-kvm) echo qemu-kvm qemu-kvm 2400 tests/rigs/qemu-kvm.sh ;;
	vmx-qemu)
		echo vmx-qemu 2-cpus 3000 tests/rigs/vmx-qemu.sh 2
		echo vmx-qemu 1-cpu 3000 tests/rigs/vmx-qemu.sh 1
		;;
	integration)
		for t in tests/integration/{linux-flips,hotfix-triads,verify,qemu-owner,hotfix-libvirt,*}.sh; do
			name=${t##*/} name=${name%.sh}
			[[ $elsewhere == *" $name "* ]] || echo integration "$name" 1200 bash "$t"
			elsewhere+=" $name "
		done
		;;
	esac
}

fill_queue() { # TIER...
	local tier
	: >build/log/queue
	for tier; do
		build_for "$tier" && tests_of "$tier" >>build/log/queue
	done
}

next_test() {
	(
		flock 9
		read -r line <build/log/queue || exit 1
		sed -i 1d build/log/queue
		echo "$line"
	) 9>build/log/queue.lock
}

# Run tests of the queue until none is left.
work() {
	local line
	while line=$(next_test); do
		# shellcheck disable=SC2086
		run_test $line
	done
	return 0
}

# Wait for another who works; one that was killed did not say what became of its test.
await() { # PID TIER
	wait "$1" || echo "$2 0 1 0 0" >>$counts
}

# --- what is to be run -----------------------------------------------------------

conclude() {
	local p f s t
	read -r p f s t < <(sums)
	echo "$p passed, $f failed, $s skipped"
	[ "$f" -eq 0 ]
	exit
}

# Not of the whole: each takes both cores for some ten minutes, and the whole is to stay under 40.
alone="qemu-kvm vmx-qemu"

# The tiers by name, in the order of `all`, and what each holds.
tiers="
explore	every interleaving within bounds, and the seeded faults that must be found
unit	unit tests, no KVM
unit-asan	the same with sanitizers
clang	the whole tree with the other compiler
style	format, layers, sizes
lint	clang-tidy and cppcheck
fuzz	a fixed number of inputs for each fuzzer
rigs	real KVM semantics, on hosts that are emulated
matrix	Linux 5.10 to the newest, under QEMU 7.2 to the newest
integration	guests on this machine's KVM, and Linux under its QEMU
cores	what shows itself only if two cores really run at the same time
qemu-kvm	stock QEMU with KVM on an emulated host; not part of the whole
vmx-qemu	the same, with the preload library; not part of the whole
"

list() {
	printf '%s' "${tiers#?}"
}

run_tier() { # NAME
	local other
	if [[ " $queued " == *" $1 "* ]]; then
		fill_queue "$1"
		work &
		other=$!
		work
		await $other "$1"
	else
		case $1 in
		unit) unit_tier unit build ;;
		unit-asan) unit_tier unit-asan build/san-address-undefined SAN=address,undefined ;;
		*) "$1_tier" ;;
		esac
	fi
	finish "$1"
}

run_all() {
	local tier beside="rigs matrix integration" failed other third
	run_tier explore
	# A broken protocol is named within a minute; no guest is to see it.
	read -r _ failed _ < <(sums)
	[ "$failed" -eq 0 ] || conclude
	# shellcheck disable=SC2086
	fill_queue $beside
	work &
	other=$!
	for tier in unit unit-asan clang style lint fuzz; do
		run_tier $tier
	done
	# One more than before: guests wait, for the host or for one another.
	work &
	third=$!
	work
	await $other integration
	await $third integration
	for tier in $beside; do
		finish $tier
	done
	run_tier cores
	echo "not part of this run (docs/architecture.md): make check TIER='$alone'"
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
