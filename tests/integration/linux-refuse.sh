#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is no running Linux guest, or lies: one clear line, in bounded time, and nothing is written.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
peers=()
trap 'kill "${peers[@]}" 2>/dev/null; guest_cleanup; rm -rf "$tmp"' EXIT

# --- what is no QEMU ---------------------------------------------------------

# peer NAME ADDRESS: a socket $tmp/NAME.sock with something of socat's behind it
peer() {
	socat "UNIX-LISTEN:$tmp/$1.sock,fork" "$2" 2>/dev/null &
	peers+=($!)
	until_true 20 test -S "$tmp/$1.sock" || ok "a socket that answers: $1" 1
}

qmp='{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7},"package":""},"capabilities":[]}}'
head -c 1000000 /dev/urandom >"$tmp/garbage"
yes '{' | tr -d '\n' | head -c 1000000 >"$tmp/nested"
printf '%s\n' "$qmp" >"$tmp/greeting"
printf '%s\n{"return":{}}\n{"return":[1,2,3]}\n' "$qmp" >"$tmp/nonsense"
printf '+$%s#00' "$(head -c 100000 /dev/zero | tr '\0' 'f')" >"$tmp/huge"
printf '#!/bin/sh\ncat "$1"\nexec sleep 600\n' >"$tmp/say"
chmod +x "$tmp/say"
peer silent 'EXEC:sleep 600'
peer late 'EXEC:sleep 600' # is asked but once over gdb: then it is marked
peer closes 'EXEC:true'
for what in garbage nested greeting nonsense huge; do
	peer $what "EXEC:$tmp/say $tmp/$what"
done
# What vmpoke has to say of each.
says() { # PROTO WHAT
	case $1-$2 in
	*-closes) echo "closed the connection" ;;
	gdb-silent) echo "no answer within" ;;
	gdb-*) echo "this is no gdbstub" ;;
	qmp-silent | qmp-greeting) echo "no greeting within" ;;
	qmp-nonsense) echo "no architecture" ;;
	*) echo "not a QMP socket" ;;
	esac
}
for proto in gdb qmp; do
	refused "$proto: no socket" "No such file" info qemu+$proto:"$tmp/none"
	refused "$proto: no socket but a file" "Connection refused" info qemu+$proto:"$tmp/garbage"
	for what in silent closes garbage nested greeting nonsense huge; do
		refused "$proto: what answers: $what" "$(says $proto $what)" \
			key set qemu+$proto:"$tmp/$what.sock" sched_schedstats on
	done
	VMPOKE_TIMEOUT=300 refused "$proto: what does not answer, a limit for every command" "300 ms" \
		info qemu+$proto:"$tmp/late.sock"
	VMPOKE_TIMEOUT=soon refused "$proto: a limit that is none" "VMPOKE_TIMEOUT=soon is not a number" \
		info qemu+$proto:"$tmp/late.sock"
done
kill "${peers[@]}"
peers=()
# Those that answered nothing may have been left stopped, for all that vmpoke knows: their sockets are marked.
# A socket of a later guest that gets the number (inode) of one of these is not taken for it.
[ -n "$(find "$VMPOKE_STATE_DIR" -name 'gdb-*.mark')" ]
ok "gdb: what answered nothing is marked" $?

# --- what is no Linux --------------------------------------------------------

guest_launch bios
until_true 60 guest_qmp bios '{"execute":"query-status"}' >"$tmp/out"
for proto in gdb qmp; do
	to=$(target bios $proto)
	refused "$proto: firmware alone: sym" "has not booted" sym "$to" schedule
	refused "$proto: firmware alone: key set" "has not booted" key set "$to" sched_schedstats on
	refused "$proto: firmware alone: poke" "has the guest booted" poke "$to" 0xffffffff81000000 --old 90 --new c3
	same "$proto: it runs on" "$(guest_status bios)" running
done
guest_stop bios

# --- what is no x86-64 -------------------------------------------------------

x86_64=${GUEST_QEMU:-qemu-system-x86_64}
GUEST_QEMU=${x86_64%x86_64}i386 guest_launch old
until_true 60 guest_qmp old '{"execute":"query-status"}' >"$tmp/out"
for proto in gdb qmp; do
	refused "$proto: a machine that is not x86-64: info" "x86" info "$(target old $proto)"
	refused "$proto: a machine that is not x86-64: recover" "x86" recover "$(target old $proto)"
	same "$proto: it runs on" "$(guest_status old)" running
done
guest_stop old

# --- another kernel, a paused guest, lies ------------------------------------

guest_start g cloud && guest_symbols g
ok "boots" $? || exit 1
kernel=$here/../../build/rigs/linux-cloud/vmlinuz
other=$("$here/../linux/kernel.sh" generic)/vmlinuz
head -c 100000 "$kernel" >"$tmp/cut"
to=$(target g qmp)
check "the right bzImage is accepted" vp sym "$to" schedule --kernel "$kernel"
refused "another kernel's bzImage" "is of another kernel" sym "$to" schedule --kernel "$other"
refused "a bzImage that is cut" "damaged bzImage" sym "$to" schedule --kernel "$tmp/cut"
refused "a file that is no kernel" "not a vmlinux" sym "$to" schedule --kernel "$tmp/garbage"
refused "no file" "No such file" sym "$to" schedule --kernel "$tmp/none"
slide=$(($(guest_symbol g _text) - 0xffffffff81000000))
while read -r addr name; do # what lies below is per CPU or absolute: it does not slide
	[[ $addr == ffffffff* ]] && printf -v addr '%x' $((0x$addr - slide))
	echo "$addr T $name"
done <"$tmp/g.symbols" >"$tmp/System.map"
check "a System.map that agrees" vp sym "$to" schedule --kernel "$tmp/System.map"
sed 's/^\(.*\)0 T schedule$/\18 T schedule/' "$tmp/System.map" >"$tmp/wrong.map"
refused "a System.map that does not" "is of another kernel" sym "$to" schedule --kernel "$tmp/wrong.map"

# QEMU knows commands of the same name: they are not for whoever mistakes its socket for ours.
for what in stop cont quit info; do
	refused "QEMU's QMP socket, as if it were ours: $what" "write qemu+qmp:" $what "$(guest_dir g)/qmp"
done
same "it runs on" "$(guest_status g)" running

guest_text g "$tmp/before"
guest_qmp g '{"execute":"stop"}' >"$tmp/out"
for proto in qmp gdb; do
	refused "$proto: paused by its owner: key set" "paused" key set "$(target g $proto)" \
		sched_schedstats on
	same "$proto: it stays paused" "$(guest_status g)" paused
done
guest_qmp g '{"execute":"cont"}' >"$tmp/out"
guest_text g "$tmp/after"
check "nothing was written" cmp "$tmp/before" "$tmp/after"
check "the guest works" guest_run g true

# A reader that goes away ends no vmpoke in mid window, and the owner's stub is as it was.
"$vmpoke" sym --all "$(target g gdb)" 2>"$tmp/err" | head -n 1 >"$tmp/out"
same "gdb: a reader goes away: the VM runs" "$(guest_status g)" running

names() { guest_run g 'head -n 3 /proc/kallsyms'; }

# The token table of kallsyms holds the names of the digits one after the other. Other tables do, too;
# it is the one that changes what the guest itself reads.
head -c 600 /dev/zero | tr '\0' 'a' >"$tmp/lie"
head -c 600 /dev/urandom >"$tmp/noise"
guest_image g "$tmp/image"
truth=$(names)
for tokens in $(LC_ALL=C grep -obUaP '\x000\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00' \
	"$tmp/image" | tr '\0' '.' | cut -d: -f1); do
	where=$(($(cat "$tmp/g.phys") + tokens - 200))
	tail -c +$((tokens - 199)) "$tmp/image" | head -c 600 >"$tmp/true"
	overwrite g $where "$tmp/lie"
	[ "$(names)" != "$truth" ] && break
	overwrite g $where "$tmp/true"
done
ok "the guest's own /proc/kallsyms can be made to lie" "$([ "$(names)" != "$truth" ]; echo $?)"
for lie in lie noise; do
	overwrite g $where "$tmp/$lie"
	refused "gdb: kallsyms is $lie: sym" "no kernel symbol table" sym "$(target g gdb)" schedule
	refused "qmp: kallsyms is $lie: key set" "no kernel symbol table" \
		key set "$(target g qmp)" sched_schedstats on
	same "it runs on" "$(guest_status g)" running
	overwrite g $where "$tmp/true"
	check "with the truth back all is well" vp sym "$to" schedule
done
guest_text g "$tmp/after"
check "nothing was written" cmp "$tmp/before" "$tmp/after"
exit $failed
