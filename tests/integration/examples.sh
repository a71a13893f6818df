#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What stands in examples/, as `make install` puts it down: built from what was installed alone, by gcc and
# by clang without a warning, and run, by the commands of its README as they stand there.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1
. "$here/../linux/checks.sh"
trap 'timeout 20 "$vmpoke" quit "$tmp/examples/hello" 2>/dev/null; guest_cleanup; rm -rf "$tmp"' EXIT

check "make install" make --no-print-directory install DESTDIR="$tmp/root" PREFIX=/opt/vmpoke
cp -r "$tmp/root/opt/vmpoke/share/doc/vmpoke/examples" "$tmp/" && cd "$tmp/examples" || exit 1
export PATH=$tmp/root/opt/vmpoke/bin:$PATH
export PKG_CONFIG_PATH=$tmp/root/opt/vmpoke/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tmp/root
export CFLAGS="-O2 -g -Werror" CXXFLAGS="-O2 -g -Werror"

# The commands that the README has under a heading.
commands() { # HEADING
	awk -v heading="## $1" '/^## / { here = $0 == heading }
		/^```$/ { block = 0 }
		here && block { print }
		/^```sh$/ { block = 1 }' README.md
}

# Each of them must succeed. What the last one said is in $tmp/said.
replay() { # HEADING [WHAT-TO-DO-AFTER-EACH]
	local command n=0
	while read -r command <&3; do
		check "$1: $command" timeout 120 bash -c "$command"
		cp "$tmp/check" "$tmp/said"
		${2+"$2" "$command"}
		n=$((n + 1))
	done 3< <(commands "$1")
	ok "$1: the README has commands ($n)" "$([ $n -gt 0 ]; echo $?)"
}

# It must fail, with one line on stderr that holds PART.
refuses() { # TEXT PART COMMAND...
	local text=$1 part=$2 code
	shift 2
	timeout 60 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	[ $code -gt 0 ] && [ $code -lt 124 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q -- "$part" "$tmp/err"
	ok "$text" $?
	sed 's/^/#  /' "$tmp/err"
}

# --- the guest -----------------------------------------------------------------

# All that a vCPU has told, in its order: "11111111 22222222 ".
told() { sed -n "s/^vCPU $1: the answer is 0x//p" "$2" | tr '\n' ' '; } # VCPU FILE

# `seen` of both vCPUs (guest/guest.h), in hexadecimal: which answer they got last, how many were torn.
seen() { vmpoke read ./hello seen --len 32 --json | jq -r .hex; }
answers() { seen | sed -E 's/^.{16}(.{8}).{24}(.{8}).{8}$/\1 \2/'; }
torn() { seen | sed -E 's/^.{24}(.{8}).{24}(.{8})$/\1 \2/'; }
both_are_torn() { [[ " $(torn)" =~ ^(\ [0-9a-f]{8}){2}$ && " $(torn)" != *" 00000000"* ]]; }

# Both have got what the instruction says now.
both_got_it() {
	local insn
	insn=$(vmpoke read ./hello answer --len 5 --json | jq -r .hex)
	[ "$(answers)" = "${insn:2} ${insn:2}" ]
}
settle() { # after a command to the guest, which may be its last
	[ ! -e hello ] || until_true 60 both_got_it || until_true 60 test ! -e hello
}

replay guest settle
for id in 00 01; do
	same "guest: what vCPU $id told" "$(told $id hello.txt)" "11111111 22222222 11111111 "
done
same "guest: none of them saw a mixture" "$(torn)" "00000000 00000000"
check "guest: an answer that looks like one" vmpoke imm ./hello answer 0x44555555
check "guest: both count it" until_true 60 both_are_torn
check "guest: and back" vmpoke revert ./hello
readelf -lW guest/guest.elf >"$tmp/segments"
ok "guest: it has code, and nothing is both writable and executable" \
	"$(grep -q 'LOAD.* R E ' "$tmp/segments" && ! grep -q 'LOAD.* RWE ' "$tmp/segments"; echo $?)"

# --- a client of the control socket ----------------------------------------------

check "qmp-client: status" qmp-client/client.py ./hello status
same "qmp-client: it runs, and nothing stands" "$(cat "$tmp/check")" running
refuses "qmp-client: what the VM refuses" "not the old bytes" qmp-client/client.py ./hello poke answer b899999999 b833333333
refuses "qmp-client: nobody is there" "No such file" qmp-client/client.py ./nobody status
replay qmp-client settle
for id in 00 01; do
	[[ $(told $id hello.txt) == *"11111111 33333333 11111111 "* ]]
	ok "qmp-client: vCPU $id saw the poke, and its end" $?
done
check "qmp-client: the answer 0 ends the guest" until_true 60 test ! -e hello

# --- a VMM -------------------------------------------------------------------------

replay vmm
for id in 00 01; do
	same "vmm: what vCPU $id told" "$(told $id "$tmp/said")" "11111111 22222222 33333333 44444444 55555555 00000000 "
done
check "vmm: 500 pokes" timeout 300 vmm/vmm guest/guest.elf 500
last=$(grep '^vmm:' "$tmp/check")
echo "#  $last"
ok "vmm: nobody saw a mixture" "$([[ $last == "vmm: 501 pokes, "*" answers, of which 0 were "* ]]; echo $?)"
head -c 5000 guest/guest.elf >cut.elf
refuses "vmm: a file that is cut off" "cut.elf" vmm/vmm cut.elf
refuses "vmm: no file" "none.elf: No such file" vmm/vmm none.elf
ok "vmm: less than 200 lines" "$([ "$(wc -l <vmm/vmm.c)" -lt 200 ]; echo $?)"

# --- a static key ----------------------------------------------------------------------

guest_start g cloud && guest_symbols g
ok "static-key: a Linux guest boots" $? || exit 1
QMP=$(guest_dir g)/qmp
export QMP

look_at_key() { # COMMAND
	case $1 in
	*" on") same "static-key: the guest has it on" "$(guest_schedstats g)" 1 ;;
	*" off") same "static-key: the guest has it off" "$(guest_schedstats g)" 0 ;;
	*) return ;;
	esac
	check "static-key: all keys of the guest are right" guest_keys_right g
	same "static-key: it runs" "$(guest_status g)" running
}
replay static-key look_at_key
key=(timeout 60 static-key/static-key "qemu+qmp:$QMP")
check "static-key: what is so already" "${key[@]}" sched_schedstats off
same "static-key: it says so" "$(cat "$tmp/check")" "sched_schedstats is off already"
refuses "static-key: no such key" "no_such_key" "${key[@]}" no_such_key on
refuses "static-key: a symbol that is no key" "no static key" "${key[@]}" jiffies on
refuses "static-key: no such VM" "nobody" static-key/static-key qemu+qmp:"$tmp/nobody" sched_schedstats on
refuses "static-key: no such domain" "libvirt" env LIBVIRT_DEFAULT_URI=test:///default \
	static-key/static-key libvirt:nobody sched_schedstats on
check "static-key: vmpoke goes on from there" vp key set "${key[3]}" sched_schedstats on
same "static-key: the guest has it on" "$(guest_schedstats g)" 1
check "static-key: and back" vp key set "${key[3]}" sched_schedstats off

# Killed when half of its instructions are written (tests/linux/killer.c): the guest stands still until it is
# run again, which puts right what was left.
left() { (cd "$VMPOKE_STATE_DIR" && ls ./*.mark ./*.journal 2>/dev/null | wc -l); }
check "static-key: the killer builds" "${CC:-gcc}" -shared -fPIC -O2 -D_GNU_SOURCE -Wall -Werror \
	-o "$tmp/killer.so" "$here/../linux/killer.c"
same "static-key: no mark is left, and no journal" "$(left)" 0
LD_PRELOAD=$tmp/killer.so KILLER_HALF=1 KILLER_AT=M \
	static-key/static-key "qemu+qmp:$QMP" sched_schedstats on >"$tmp/out" 2>&1
same "static-key: it is killed amid them" $? 137
same "static-key: the guest stands still" "$(guest_status g)" paused
guest_keys_right g >"$tmp/keys.out"
ok "static-key: and is half written" "$(! grep -q ' 0 wrong' "$tmp/keys.out" && grep -q ' wrong$' "$tmp/keys.out"; echo $?)"
same "static-key: a mark is left, and a journal" "$(left)" 2
check "static-key: it is run again" "${key[@]}" sched_schedstats off
same "static-key: what was half written is off as it was" "$(cat "$tmp/check")" "sched_schedstats is off already"
check "static-key: all keys of the guest are right" guest_keys_right g
same "static-key: the guest runs" "$(guest_status g)" running
same "static-key: the guest has it off" "$(guest_schedstats g)" 0
same "static-key: nothing is left" "$(left)" 0

# The same of a vmpoke, which has another record of it: that is not ours to put right.
LD_PRELOAD=$tmp/killer.so KILLER_HALF=1 KILLER_AT=M \
	"$vmpoke" key set "${key[3]}" sched_schedstats on >"$tmp/out" 2>&1
same "static-key: vmpoke is killed amid its writes" $? 137
refuses "static-key: that is left to vmpoke" "vmpoke recover qemu+qmp:" "${key[@]}" sched_schedstats on
same "static-key: the guest stands still as it did" "$(guest_status g)" paused
check "static-key: vmpoke recovers it" vp recover "${key[3]}"
check "static-key: all keys of the guest are right" guest_keys_right g
same "static-key: the guest runs" "$(guest_status g)" running

# --- the other compiler ------------------------------------------------------------------

for d in guest vmm static-key; do
	check "$d: builds with clang" make -B -C $d CC=clang CXX=clang++
done
check "vmm: runs, built with clang" timeout 120 vmm/vmm guest/guest.elf
exit $failed
