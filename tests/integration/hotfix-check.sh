#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `vmpoke hotfix check` on a stock Debian kernel under load: the hotfixes of tests/hotfixes fit, over
# QMP and over the gdbstub; what does not is refused for its own reason, all reasons at once; and not
# a byte of the guest's code is changed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
sources=$here/../hotfixes

headers=$("$here/../linux/headers.sh" generic 2>"$tmp/log")
case $? in
0) ;;
77) echo "SKIP: hotfix-check: $(tail -n 1 "$tmp/log")" && exit 0 ;;
*) ok "the headers are fetched" 1 && exit 1 ;;
esac

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

# The guest's own address of each function, in its order.
addresses_are_right() {
	local name addr
	jq -r '.functions[] | .name + " " + .addr' "$tmp/fit" | while read -r name addr; do
		grep -qiE "^0*${addr#0x} [tT] $name(\s|$)" "$tmp/kallsyms" || return 1
	done
}

guest_run g 'cat /proc/kallsyms' >"$tmp/kallsyms"
built=0
for source in "$sources"/*.c; do
	name=$(basename "$source" .c)
	grep -q '^ \* Release: ' "$source" && continue # for another kernel
	module=$(sed -n 's/^ \* Module: //p' "$source")
	check "$name: builds" vp hotfix build "$source" --headers "$headers" -o "$tmp/$name.o" \
		${module:+--module "$module"}
	check "$name: fits, qmp" fits "$qmp" "$tmp/$name.o"
	check "$name: its functions are where the guest says" addresses_are_right
	built=$((built + 1))
done
check "there are such hotfixes" [ $built -ge 5 ]
check "three-together: fits, gdb" fits "$gdb" "$tmp/three-together.o"
same "three-together: three functions or more" "$(jq '.functions | length >= 3' "$tmp/fit")" true

# --- those that do not ------------------------------------------------------------

# A hotfix of one line of C, for this kernel unless it says another.
write_hotfix() { # NAME C...
	local name=$1
	shift
	printf '%s\n' '#include <linux/kernel.h>' '#include <vmpoke/hotfix.h>' \
		"VMPOKE_HOTFIX(\"$name\", \"1\", \"a test\");" "$@" >"$tmp/$name.c"
	vp hotfix build "$tmp/$name.c" --headers "$headers" -o "$tmp/$name.o" >"$tmp/out" 2>"$tmp/log" ||
		cat "$tmp/log"
}

# refuse NAME CODE PART...: with a line for each PART
refuse() {
	local name=$1 code=$2 part
	shift 2
	vp hotfix check "$qmp" "$tmp/$name.o" >"$tmp/out" 2>"$tmp/err"
	same "$name: refused" $? "$code"
	for part; do
		check "$name: for its own reason: $part" grep -qi -- "$part" "$tmp/err"
	done
	same "$name: $# line(s)" "$(wc -l <"$tmp/err")" $#
	sed 's/^/#  /' "$tmp/err"
}

new='static int fixed(void) { return 0; }'
write_hotfix other-release "$new" 'VMPOKE_FOR("1.2.3-4-amd64");' 'VMPOKE_REPLACE(nr_running, fixed);'
refuse other-release 3 "is for 1.2.3-4-amd64"
write_hotfix other-build "$new" 'VMPOKE_FOR_BUILD_ID("00112233445566778899aabbccddeeff00112233");' \
	'VMPOKE_REPLACE(nr_running, fixed);'
refuse other-build 3 "00112233"
write_hotfix unknown-function "$new" 'VMPOKE_REPLACE(no_such_function, fixed);'
refuse unknown-function 3 "no_such_function"
write_hotfix unknown-symbol 'extern int no_such_symbol(void);' \
	'static int fixed(void) { return no_such_symbol(); }' 'VMPOKE_REPLACE(nr_running, fixed);'
refuse unknown-symbol 3 "no_such_symbol"
write_hotfix ambiguous "$new" 'VMPOKE_REPLACE(status_show, fixed);'
refuse ambiguous 3 "status_show"
write_hotfix of-a-file "$new" 'VMPOKE_REPLACE_IN("drivers/virtio/virtio.c", status_show, fixed);'
refuse of-a-file 3 "source files"
write_hotfix no-nop "$new" 'VMPOKE_REPLACE(do_syscall_64, fixed);'
refuse no-nop 3 "do_syscall_64"
write_hotfix twice "$new" 'static int other(void) { return 1; }' \
	'VMPOKE_REPLACE(nr_running, fixed);' 'VMPOKE_REPLACE_NTH(1, nr_running, other);'
refuse twice 3 "the same one"
write_hotfix all-at-once 'extern int no_such_symbol(void);' \
	'static int fixed(void) { return no_such_symbol(); }' 'VMPOKE_FOR("1.2.3-4-amd64");' \
	'VMPOKE_REPLACE(no_such_function, fixed);'
refuse all-at-once 3 "is for 1.2.3" "no_such_function" "no_such_symbol"

write_hotfix plain "$new" 'VMPOKE_REPLACE(nr_running, fixed);'
check "plain: fits" fits "$qmp" "$tmp/plain.o"
head -c 700 "$tmp/plain.o" >"$tmp/truncated.o"
refuse truncated 7 ""
{ head -c 18 "$tmp/plain.o" && printf '\267\000' && tail -c +21 "$tmp/plain.o"; } >"$tmp/machine.o"
refuse machine 7 "machine"
echo 'int x;' | "${CC:-cc}" -c -x c -o "$tmp/no-metadata.o" -
refuse no-metadata 7 "metadata"
cp "$tmp/plain.c" "$tmp/source.o"
refuse source 7 ""
refused "a file that is not there" "no such file" hotfix check "$qmp" "$tmp/none.o"

# --- at this moment ---------------------------------------------------------------

trace='cd /sys/kernel/debug/tracing'
check "the guest traces it" guest_run g "$trace; echo nr_running >set_ftrace_filter; echo function >current_tracer"
refuse plain 3 "nr_running"
check "no more" guest_run g "$trace; echo nop >current_tracer; echo >set_ftrace_filter"
check "plain: fits again" fits "$qmp" "$tmp/plain.o"
check "the guest has a kprobe there" guest_run g "$trace; echo 'p:here nr_running' >kprobe_events; echo 1 >events/kprobes/here/enable"
refuse plain 3 "nr_running"
check "no more" guest_run g "$trace; echo 0 >events/kprobes/here/enable; echo >kprobe_events"
check "plain: fits in the end" until_true 20 fits "$qmp" "$tmp/plain.o"

# --- the code that it replaces ----------------------------------------------------

# What was written into it, and where: numbers of bytes, from 1.
cp "$tmp/plain.o" "$tmp/expects.o"
check "expects: is told what stands in this guest" vp hotfix expect "$qmp" "$tmp/expects.o"
check "expects: fits" fits "$qmp" "$tmp/expects.o"
cmp -l "$tmp/plain.o" "$tmp/expects.o" | awk '{print $1}' >"$tmp/digest"
check "expects: a digest was written into it" [ "$(wc -l <"$tmp/digest")" -gt 20 ]
check "expects: told again, nothing changes" vp hotfix expect "$gdb" "$tmp/expects.o" -o "$tmp/again.o"
check "expects: not a byte" cmp "$tmp/expects.o" "$tmp/again.o"
at=$(head -n 1 "$tmp/digest")
{ head -c $((at - 1)) "$tmp/expects.o" && printf '\001' && tail -c +$((at + 1)) "$tmp/expects.o"; } >"$tmp/other-code.o"
cmp -s "$tmp/expects.o" "$tmp/other-code.o" && printf '\002' |
	dd of="$tmp/other-code.o" bs=1 seek=$((at - 1)) conv=notrunc status=none
refuse other-code 3 "nr_running: other code"
check "three-together: is told, too" vp hotfix expect "$qmp" "$tmp/three-together.o"
refused "what does not fit is told nothing" "other code" \
	hotfix expect "$qmp" "$tmp/other-code.o" -o "$tmp/none.o"
check "and nothing is written" [ ! -e "$tmp/none.o" ]

guest_text g "$tmp/after"
check "not a byte of the guest's code is changed" cmp "$tmp/before" "$tmp/after"
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
