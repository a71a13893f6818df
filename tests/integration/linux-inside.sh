#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who is inside a function of a Linux guest, by what the guest says itself: every function on the
# stack of a task that sleeps must be told, the tasks must be as many; who sleeps in a function is named,
# and not once he is gone. And what the kernel's CPU can do, and how functions are refused.
#
#	tests/integration/linux-inside.sh [FLAVOUR...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"

tracing=/sys/kernel/tracing

build_inside() {
	local root=$here/../..
	"${CC:-gcc}" -O2 -D_GNU_SOURCE -I"$root/include" -pthread -o "$tmp/inside" \
		"$root/tests/linux/inside.c" "$root/build/libvmpoke.a" -lZydis -lbpf -lelf -ljansson -lz \
		-llzma -lzstd -llz4 -lvirt-qemu -lvirt
}

# inside WAY ROUNDS FUNCTION...: what it says is in $tmp/inside.out, too.
inside() {
	local way=$1
	shift
	timeout 120 "$tmp/inside" "$way" "$(guest_dir g)/$way" "$@" >"$tmp/inside.out" 2>&1
	local code=$?
	[ $code -eq 0 ] || sed 's/^/#  /' "$tmp/inside.out"
	return $code
}

looks() { awk -v f="$1" '$1 == "look" && $2 == f {print $3}' "$tmp/inside.out"; } # FUNCTION

# A vCPU may be amid an interrupt's entry: of several looks one must say so, and none the contrary.
says() { # FUNCTION CODE CODE-THAT-MUST-NOT-BE
	looks "$1" | grep -qx -- "$2" && ! looks "$1" | grep -qx -- "$3"
}

check_stacks() { # WAY TEXT
	local f functions told there
	# Somebody is always amid a system call then; the guest's own init is only most of the time.
	guest_run g 'sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >/sleeper'
	until_true 20 guest_run g "grep -q hrtimer_nanosleep /proc/\$(cat /sleeper)/stack"
	guest_run g 'cat /proc/[0-9]*/task/*/stack' | sed -E 's/.*\] //; s/\+.*//' |
		grep -vE 'proc_|seq_|_read$|wait4|do_wait|rcu_gp|\.' |
		sort | uniq -c | sort -rn | awk '{print $2}' | grep -xFf <(
			awk '{print $2}' "$tmp/g.symbols" | sort | uniq -u
		) | head -n 20 >"$tmp/functions"
	mapfile -t functions <"$tmp/functions"
	ok "$2: the guest tells ${#functions[@]} functions" $((${#functions[@]} < 5))
	inside "$1" 3 "${functions[@]}"
	ok "$2: looks at the stopped guest" $?
	for f in "${functions[@]}"; do
		says "$f" -16 0
		ok "$2: somebody is inside $f" $?
	done
	told=$(sed -nE 's/.*; tasks ([0-9]+) .*/\1/p' "$tmp/inside.out" | tail -n 1)
	there=$(guest_run g 'ls -d /proc/[0-9]*/task/[0-9]* | wc -l')
	[ $((told - GUEST_VCPUS - there)) -ge -4 ] && [ $((told - GUEST_VCPUS - there)) -le 4 ]
	ok "$2: $told tasks with $GUEST_VCPUS idle ones, the guest says $there" $?
	guest_run g 'kill $(cat /sleeper)'
	awk '$1 == "look" {print "#  reads", $(NF - 6), "bytes", $(NF - 4), "look", $NF, "us"}' "$tmp/inside.out" |
		head -n 3
}

check_sleeper() { # WAY TEXT
	guest_run g 'sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >/sleeper'
	until_true 20 guest_run g "grep -q hrtimer_nanosleep /proc/\$(cat /sleeper)/stack"
	inside "$1" 3 hrtimer_nanosleep
	says hrtimer_nanosleep -16 0 && grep -q '(sleep) is inside hrtimer_nanosleep+' "$tmp/inside.out"
	ok "$2: the sleeper is named" $?
	guest_run g 'kill $(cat /sleeper)'
	until_true 20 guest_run g "! [ -e /proc/\$(cat /sleeper) ]"
	inside "$1" 3 hrtimer_nanosleep
	# The guest's own init sleeps there in between (usleep).
	looks hrtimer_nanosleep | grep -qE '^(0|-16)$' && ! grep -q '(sleep)' "$tmp/inside.out"
	ok "$2: he is not when he is gone" $?
	grep '^look' "$tmp/inside.out" | sed 's/^/#  /'
}

check_functions() { # WAY TEXT
	inside "$1" 0 do_sys_openat2 do_syscall_64
	grep -q '^do_sys_openat2 .* 0 can be redirected' "$tmp/inside.out"
	ok "$2: do_sys_openat2 can be redirected" $?
	grep -q '^do_syscall_64 .* -16 .*no nop' "$tmp/inside.out"
	ok "$2: do_syscall_64 has no nop" $?
	guest_run g "mount -t tracefs tracefs $tracing; cd $tracing; echo do_sys_openat2 >set_ftrace_filter"
	guest_run g "echo function >$tracing/current_tracer"
	inside "$1" 0 do_sys_openat2
	grep -qE '^do_sys_openat2 .* -(16|11) ' "$tmp/inside.out"
	ok "$2: not while it is traced" $?
	guest_run g "echo nop >$tracing/current_tracer; echo >$tracing/set_ftrace_filter"
	inside "$1" 0 do_sys_openat2
	grep -q '^do_sys_openat2 .* 0 can be redirected' "$tmp/inside.out"
	ok "$2: it can again" $?
}

# Word 0 of the capabilities is CPUID 1 EDX: fpu is its bit 0, sse2 its bit 26, ...
check_features() { # TEXT
	local word flag bit bad=0
	word=0x$(sed -nE 's/^features .*: ([0-9a-f]{8}).*/\1/p' "$tmp/inside.out")
	while read -r flag bit; do
		if guest_run g "grep -qw $flag /proc/cpuinfo"; then
			[ $((word >> bit & 1)) -eq 1 ] || bad=1
		else
			[ $((word >> bit & 1)) -eq 0 ] || bad=1
		fi
	done <<-END
		fpu 0
		vme 1
		tsc 4
		pge 13
		acpi 22
		sse2 26
		ht 28
	END
	ok "$1: capabilities are as /proc/cpuinfo says" $bad
	sed -n 's/^features/#  features/p' "$tmp/inside.out"
}

check_guest() { # FLAVOUR
	guest_start g "$1" && guest_symbols g
	ok "$1: boots" $? || return
	check_stacks qmp "$1, QMP"
	check_sleeper qmp "$1, QMP"
	check_functions qmp "$1, QMP"
	check_features "$1"
	check_stacks gdb "$1, gdbstub"
	guest_stop g
}

build_inside
ok "inside is built" $? || exit 1
[ $# -gt 0 ] || set -- generic generic-6.12
for flavour; do
	check_guest "$flavour"
done
exit $failed
