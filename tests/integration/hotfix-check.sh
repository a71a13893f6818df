#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `vmpoke hotfix check` on a stock Debian kernel under load: the hotfixes of tests/hotfixes fit, over
# QMP, over the gdbstub, and by the kernel's file alone; what does not is refused for its own reason, by
# `check` and by `apply`, all reasons at once; and not a byte of the guest's code is changed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-modules.sh"
sources=$here/../hotfixes

hotfix_headers generic

kernel=$("$here/../linux/kernel.sh" generic 2>"$tmp/log")/vmlinuz
(. "$here/../rigs/lib.sh" && extract_vmlinux "$kernel" "$tmp/vmlinux")
ok "the kernel is unpacked" $?

guest_start g generic && guest_symbols g
ok "boots" $? || exit 1
gdb=$(target g gdb) qmp=$(target g qmp)
check "the load is at work" guest_run g 'load start; load settle'
guest_warnings g >"$tmp/warnings"
guest_text g "$tmp/before"

# --- those that fit ---------------------------------------------------------------

fits() { # TARGET OBJECT
	vp hotfix check "$1" "$2" --json >"$tmp/fit" 2>"$tmp/err" &&
		[ "$(jq -r .fits "$tmp/fit")" = true ] && [ ! -s "$tmp/err" ]
}

# The guest's own address of each function, in its order. SLIDE: by how much the guest was moved.
addresses_are_right() { # [SLIDE]
	local name addr
	jq -r '.functions[] | .name + " " + .addr' "$tmp/fit" | while read -r name addr; do
		printf -v addr '%x' $((addr + ${1-0}))
		grep -qiE "^0*$addr [tT] $name(\s|$)" "$tmp/kallsyms" || return 1
	done
}

# By the file alone. What only a guest can tell is told; N lines of that.
fits_file() { # FILE OBJECT N
	vp hotfix check --kernel "$1" "$2" --json >"$tmp/fit" 2>"$tmp/err" &&
		[ "$(jq -r '.fits, (.untold | length)' "$tmp/fit" | paste -sd' ')" = "true $3" ] &&
		[ ! -s "$tmp/err" ]
}

guest_run g 'cat /proc/kallsyms' >"$tmp/kallsyms"
slide=$(($(guest_symbol g _text) - 0xffffffff81000000))
built=0
for source in "$sources"/*.c; do
	name=$(basename "$source" .c)
	grep -q '^ \* Release: ' "$source" && continue # for another kernel
	module=$(sed -n 's/^ \* Module: //p' "$source")
	check "$name: builds" vp hotfix build "$source" --headers "$headers" -o "$tmp/$name.o" \
		${module:+--module "$module"}
	check "$name: fits, qmp" fits "$qmp" "$tmp/$name.o"
	check "$name: its functions are where the guest says" addresses_are_right
	if [ -z "$module" ]; then
		check "$name: fits, by the file" fits_file "$tmp/vmlinux" "$tmp/$name.o" 3
		check "$name: its functions are there but for the slide" addresses_are_right "$slide"
	else
		refused "$name: of a module, by the file" "of the module $module" \
			hotfix check --kernel "$tmp/vmlinux" "$tmp/$name.o"
	fi
	built=$((built + 1))
done
check "there are such hotfixes" [ $built -ge 5 ]
check "three-together: fits, gdb" fits "$gdb" "$tmp/three-together.o"
check "three-together: fits, by the bzImage" fits_file "$kernel" "$tmp/three-together.o" 3
check "which is told to people" vp hotfix check --kernel "$kernel" "$tmp/three-together.o"
same "with what is not told, a line each" "$(grep -c '^  told by a guest only: ' "$tmp/check")" 3
same "three-together: three functions or more" "$(jq '.functions | length >= 3' "$tmp/fit")" true

# --- those that must not be taken --------------------------------------------------

head='#include <vmpoke/hotfix.h>'
describe="VMPOKE_HOTFIX(\"fix\", \"1\", \"a test\");"
new='static int fixed(void) { return 0; }'
old='VMPOKE_REPLACE(nr_running, fixed);'

# A hotfix of some lines of C, for this kernel unless it says another.
write_hotfix() { # NAME C...
	local name=$1
	shift
	printf '%s\n' '#include <linux/kernel.h>' '#include <linux/hrtimer.h>' "$head" "$describe" "$@" >"$tmp/$name.c"
	vp hotfix build "$tmp/$name.c" --headers "$headers" -o "$tmp/$name.o" >"$tmp/out" 2>"$tmp/log" ||
		cat "$tmp/log"
}

# The same by the compiler alone, without the kernel's headers: `build` would not make most of these.
write_object() { # NAME C...
	local name=$1
	shift
	printf '%s\n' "$head" "$@" >"$tmp/$name.c"
	grep -q VMPOKE_FOR "$tmp/$name.c" || echo "VMPOKE_FOR(\"$(cat "${kernel%/*}/release")\");" >>"$tmp/$name.c"
	"${CC:-cc}" -c -O2 -I"$here/../../include" -ffreestanding -mcmodel=kernel -fno-pic -fno-pie -mno-red-zone \
		-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-common \
		-o "$tmp/$name.o" "$tmp/$name.c" 2>"$tmp/log" || cat "$tmp/log"
}

section() { # NAME FLAGS LINE
	echo "asm(\".pushsection $1, \\\"$2\\\"; $3; .popsection\");"
}

# A copy in which the bytes from FROM on, counted from 0, are those of an argument of printf.
damage() { # OBJECT FROM BYTES COPY
	cp "$1" "$4" && printf '%b' "$3" | dd of="$4" bs=1 seek="$2" conv=notrunc status=none
}

no_such='extern int no_such_symbol(void); static int fixed(void) { return no_such_symbol(); }'
write_hotfix plain "$new" "$old"
write_object other-release "$describe" "$new" "$old" 'VMPOKE_FOR("1.2.3-4-amd64");'
write_object other-build-id "$describe" "$new" "$old" 'VMPOKE_FOR_BUILD_ID("00112233445566778899aabbccddeeff00112233");'
write_object no-function "$describe" "$new" 'VMPOKE_REPLACE(no_such_function, fixed);'
write_object no-symbol "$describe" "$no_such" "$old"
write_object ambiguous "$describe" "$new" 'VMPOKE_REPLACE(status_show, fixed);'
write_object of-a-file "$describe" "$new" 'VMPOKE_REPLACE_IN("kernel/sched/core.c", nr_running, fixed);'
write_object no-nop "$describe" "$new" 'VMPOKE_REPLACE(do_syscall_64, fixed);'
write_object twice "$describe" "$new" 'static int other(void) { return 1; }' "$old" 'VMPOKE_REPLACE_NTH(1, nr_running, other);'
write_object object "$describe" "$new" "$old"
write_object a-section "$describe" "$new" "$old" "$(section __ex_table a '.long 0, 0, 0')"
write_object odd-section "$describe" "$new" "$old" "$(section .something a '.long 0')"
write_object relocation "$describe" "$new" "$old" \
	"$(section .text ax '.long 0; .reloc .-4, R_X86_64_TPOFF32, jiffies')"
write_object out-of-range "$describe" "$new" "$old" "$(section .text ax '.long jiffies')"
write_object w-and-x "$describe" "$new" "$old" "$(section .wx awx nop)"
write_object control-name 'VMPOKE_HOTFIX("fix\033[2J", "1", "a test");' "$new" "$old"
write_object control-text 'VMPOKE_HOTFIX("fix", "1", "a\ntest");' "$new" "$old"
write_object no-metadata 'int x;'
printf '%s\n' 'int x;' | "${CC:-cc}" -c -x c -o "$tmp/no-metadata.o" -
head -c 700 "$tmp/plain.o" >"$tmp/truncated.o"
damage "$tmp/plain.o" 18 '\0267\0000' "$tmp/machine.o"
cp "$tmp/plain.c" "$tmp/source.o"
# One that expects other code than there is: what `expect` has written is changed.
cp "$tmp/plain.o" "$tmp/expects.o"
check "plain: fits" fits "$qmp" "$tmp/plain.o"
check "object: fits" fits "$qmp" "$tmp/object.o"
check "expects: is told what stands in this guest" vp hotfix expect "$qmp" "$tmp/expects.o"
check "expects: fits" fits "$qmp" "$tmp/expects.o"
cmp -l "$tmp/plain.o" "$tmp/expects.o" | awk '{print $1 - 1}' >"$tmp/digest"
check "expects: a digest was written into it" [ "$(wc -l <"$tmp/digest")" -gt 20 ]
at=$(head -n 1 "$tmp/digest")
damage "$tmp/expects.o" "$at" '\0001' "$tmp/other-code.o"
cmp -s "$tmp/expects.o" "$tmp/other-code.o" && damage "$tmp/expects.o" "$at" '\0002' "$tmp/other-code.o"

# Refused, with one line that ends so. The line stays in $tmp/err.
refused_so() { # CODE LINE COMMAND...
	local code=$1 line=$2
	shift 2
	vp "$@" >"$tmp/out" 2>"$tmp/err"
	[ $? -eq "$code" ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -qiF -- "$line" "$tmp/err" || {
		cat "$tmp/err"
		return 1
	}
}

must_refuse() { # NAME CODE LINE WAY...: check, apply: in the guest; file: check by the kernel's file
	local name=$1 code=$2 line=$3 way object=$tmp/$1.o
	shift 3
	for way; do
		case $way in
		file) check "$name: refused, by the file" refused_so "$code" "$line" hotfix check --kernel "$tmp/vmlinux" "$object" ;;
		*) check "$name: refused by $way" refused_so "$code" "$line" hotfix "$way" "$qmp" "$object" ;;
		esac
	done
	echo "#  $(cat "$tmp/err")"
}

# Which object, with which exit code, and for which reason.
guest_modules "$tmp/modules"
while read -r name code line; do
	if [ "$code" -eq 3 ]; then
		must_refuse "$name" "$code" "$line" file apply check
	else
		must_refuse "$name" "$code" "$line" apply # no hotfix at all, whatever it is held against
	fi
done <<'END'
other-release   3   it is for 1.2.3-4-amd64; the
other-build-id  3   it is for the kernel with build-id 00112233445566778899aabbccddeeff00112233; the
no-function     3   function no_such_function: the guest's kernel has none
no-symbol       3   symbol no_such_symbol: the guest's kernel has none
ambiguous       3   function status_show is ambiguous
of-a-file       3   function nr_running: nr_running of kernel/sched/core.c: a running kernel does not tell source files
no-nop          3   do_syscall_64: its entry
twice           3   functions nr_running and nr_running are the same one
a-section       3   section __ex_table: faults are repaired by a table that the guest does not see
odd-section     3   section .something: it is not known what it is for
relocation      3   relocation R_X86_64_TPOFF32 (23) is not supported
out-of-range    3   relocation R_X86_64_32 to jiffies (0x
other-code      3   nr_running: other code stands there than the hotfix was made for
truncated       7   truncated ELF object
machine         7   ELF for another machine (e_machine is 183, x86-64 is 62)
no-metadata     7   metadata missing
w-and-x         7   section .wx is writable and executable (W+X)
control-name    7   metadata: the name holds control characters
control-text    7   metadata: the description holds control characters
source          7   not an ELF file
END

check "its memory is as before" until_true 20 guest_modules_are "$tmp/modules"

# What stands against it in the guest at the moment.
trace='cd /sys/kernel/debug/tracing'
check "the guest traces it" guest_run g "$trace; echo nr_running >set_ftrace_filter; echo function >current_tracer"
must_refuse plain 3 "nr_running: its entry is a call: it is traced or probed now" apply check
check "no more" guest_run g "$trace; echo nop >current_tracer; echo >set_ftrace_filter"
check "plain: fits again" fits "$qmp" "$tmp/plain.o"
check "the guest has a kprobe there" guest_run g "$trace; echo 'p:here nr_running' >kprobe_events; echo 1 >events/kprobes/here/enable"
must_refuse plain 3 "nr_running: " apply check
check "no more" guest_run g "$trace; echo 0 >events/kprobes/here/enable; echo >kprobe_events"
check "the guest has a kprobe inside" guest_run g "$trace; echo 'p:here nr_running+5' >kprobe_events; echo 1 >events/kprobes/here/enable"
must_refuse plain 3 "the guest has a kprobe at nr_running+0x5" apply check
check "no more" guest_run g "$trace; echo 0 >events/kprobes/here/enable; echo >kprobe_events"
check "plain: fits in the end" until_true 20 fits "$qmp" "$tmp/plain.o"
write_hotfix inside 'static long fixed(ktime_t t, const enum hrtimer_mode m, const clockid_t c) { return 0; }' \
	'VMPOKE_REPLACE(hrtimer_nanosleep, fixed);'
check "somebody sleeps inside" guest_run g 'sleep 300 & echo $! >/tmp/sleeper'
check "inside: refused by apply" refused_so 5 "hrtimer_nanosleep+0x" hotfix apply "$qmp" "$tmp/inside.o" --when-idle=1
echo "#  $(cat "$tmp/err")"
check "nobody does" guest_run g 'kill $(cat /tmp/sleeper)'

# All that is against one, not the first; and what is no file at all.
write_object all-at-once "$describe" "$no_such" 'VMPOKE_FOR("1.2.3-4-amd64");' 'VMPOKE_REPLACE(no_such_function, fixed);' \
	'VMPOKE_REPLACE(do_syscall_64, fixed);'
for to in "$qmp" "--kernel $tmp/vmlinux"; do
	# shellcheck disable=SC2086
	vp hotfix check $to "$tmp/all-at-once.o" >"$tmp/out" 2>"$tmp/err"
	same "all-at-once: refused" $? 3
	same "all-at-once: a line for each reason" "$(wc -l <"$tmp/err")" 4
	for part in "is for 1.2.3" no_such_function no_such_symbol do_syscall_64; do
		check "all-at-once: $part" grep -q "$part" "$tmp/err"
	done
done
refused "a file that is not there" "no such file" hotfix check "$qmp" "$tmp/none.o"
refused "a kernel that is not there" "cannot be opened" hotfix check --kernel "$tmp/none" "$tmp/plain.o"
same "which is exit code 7" $exit_code 7
refused "what is no kernel" "no Linux kernel" hotfix check --kernel "$vmpoke" "$tmp/plain.o"
refused "neither a guest nor a kernel" "a target is missing" hotfix check "$tmp/plain.o"

# --- the code that it replaces ----------------------------------------------------

check "expects: told again, nothing changes" vp hotfix expect "$gdb" "$tmp/expects.o" -o "$tmp/again.o"
check "expects: not a byte" cmp "$tmp/expects.o" "$tmp/again.o"
check "expects: fits, by the file" fits_file "$tmp/vmlinux" "$tmp/expects.o" 3
check "three-together: is told, too" vp hotfix expect "$qmp" "$tmp/three-together.o"
refused "what does not fit is told nothing" "other code" \
	hotfix expect "$qmp" "$tmp/other-code.o" -o "$tmp/none.o"
check "and nothing is written" [ ! -e "$tmp/none.o" ]

guest_text g "$tmp/after"
check "not a byte of the guest's code is changed" cmp "$tmp/before" "$tmp/after"
vp hotfix list "$qmp" --json >"$tmp/out"
same "no hotfix is there" "$(jq -c '.hotfixes' "$tmp/out")" '[]'
refused "nothing is applied" "nothing is applied" revert "$qmp"
same "it runs" "$(guest_status g)" running
check "the load goes on, without an error" guest_run g 'load check'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" diff "$tmp/warnings" "$tmp/warnings.now"
guest_stop g

# The same kernel at another place, for another CPU, without thunks; a static key switched.
GUEST_CPU=EPYC GUEST_APPEND="mitigations=off" guest_start h generic
ok "another guest boots" $?
check "it has a static key switched" guest_run h 'echo 1 >/proc/sys/kernel/sched_schedstats'
for name in expects three-together; do
	check "$name: the code is as expected there, too" fits "$(target h qmp)" "$tmp/$name.o"
done
exit $failed
