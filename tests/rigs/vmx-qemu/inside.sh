#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ../vmx-qemu.sh runs on the emulated host.
set -u
. /vmpoke/tests/rigs/linux/inside.sh
seconds() { echo "# $1: $(cut -d. -f1 /proc/uptime) s"; }
export VMPOKE_SOCKET=$sock VMPOKE_STATE_DIR=$dir/state VMPOKE_TIMEOUT=60000

# What QEMU tells of the VM's stops, on a socket of our own.
watch_events() {
	(
		echo '{"execute":"qmp_capabilities"}'
		exec sleep 100000
	) | socat - "UNIX-CONNECT:$dir/qmp" >"$dir/events" &
}

qmp() { # COMMAND...
	{
		printf '{"execute":"qmp_capabilities"}\n'
		printf '%s\n' "$@"
		sleep 1
	} | socat - "UNIX-CONNECT:$dir/qmp2" | tail -n 1
}

# QEMU's own debugger: packets of the gdb remote protocol, and what comes back in $dir/gdb.out.
gdb_begin() {
	rm -f "$dir/gdb.in"
	mkfifo "$dir/gdb.in"
	socat - "UNIX-CONNECT:$dir/gdb" <"$dir/gdb.in" >"$dir/gdb.out" &
	gdb_pid=$!
	exec 6>"$dir/gdb.in"
}
gdb_packet() { # TEXT
	local i sum=0
	for ((i = 0; i < ${#1}; i++)); do
		sum=$(((sum + $(printf '%d' "'${1:i:1}")) & 255))
	done
	printf '+$%s#%02x' "$1" $sum >&6
}
gdb_await() { # TEXT N: until it came N times
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(grep -ao -- "$1" "$dir/gdb.out" | wc -l)" -ge "$2" ] && return
		sleep 0.1
	done
	return 1
}
gdb_end() {
	gdb_packet D
	sleep 1
	exec 6>&-
	kill $gdb_pid 2>/dev/null
	wait $gdb_pid 2>/dev/null
}

qemu=(qemu-system-x86_64 -nodefaults -no-user-config -display none -accel kvm -cpu host -m 256 -smp 2,maxcpus=3,sockets=3,cores=1,threads=1
	-name web1 	-sandbox on -serial stdio)
kernel=(-kernel /inner/vmlinuz -initrd /inner/initrd
	-append "console=ttyS0 quiet cryptomgr.notests mitigations=off audit=0 ipv6.disable=1 tsc=reliable")

# Without the library, for what it costs.
guest_vmm=("${qemu[@]}")
ok "without the library: a stock kernel boots to a shell" guest_boot "${kernel[@]}"
exits_without=$(guest "exits 50")
guest_send 'poweroff -f'
guest_end
seconds without

guest_vmm=(env LD_PRELOAD=/vmpoke/build/libvmpoke-kvm.so "${qemu[@]}" -gdb "unix:$dir/gdb,server=on,wait=off"
	-qmp "unix:$dir/qmp,server=on,wait=off" -qmp "unix:$dir/qmp2,server=on,wait=off")
ok "with it: a stock kernel boots to a shell" guest_boot "${kernel[@]}"
sed 's/^/# qemu: /' "$dir/messages"
[ $failed = 0 ] || exit 1
exits_with=$(guest "exits 50")
echo "# an exit to QEMU: $exits_without cycles without the library, $exits_with with it"
ok "it costs less than 2 % of an exit" test $((exits_with * 100)) -lt $((exits_without * 102))
seconds booted
watch_events
show info "$vmpoke" info "$sock" --json
ok "int3s come out as KVM_EXIT_DEBUG" grep -q '"trap-route": "KVM_EXIT_DEBUG"' "$dir/info"
ok "the kernel is known" grep -q '"release": "6' "$dir/info"
seconds known

guest 'load start'
ok "a load runs" guest 'load check'
seconds load

for i in 1 2; do
	ok "before: a shell has a parent" parent
	show poke "$vmpoke" poke "$sock" __x64_sys_getppid --old 0f1f440000 --new jmp:__x64_sys_getpid \
		--strategy int3 --force --resume emulate
	ok "poke $i by int3" grep -q applied "$dir/poke"
	ok "the guest runs the new code" eval '! parent'
	show revert "$vmpoke" revert "$sock" --strategy int3
	ok "revert $i by int3" grep -q reverted "$dir/revert"
done
ok "after: a shell has a parent" parent
seconds pokes

for resume in park emulate fixup; do
	for ((i = 0; i < 4; i++)); do
		show hot "$vmpoke" poke "$sock" vfs_read --old 0f1f440000 --new 0f1f440008 --strategy int3 \
			--force --resume $resume $([ $resume != fixup ] || echo --fixup vfs_read+5) --json &&
			show hot2 "$vmpoke" revert "$sock" --strategy int3 || break
	done
	ok "4 times another nop by $resume, and back, where the load runs" test $i = 4
done
seconds hot

schedstats() { guest "$1cat /proc/sys/kernel/sched_schedstats"; }
# The longest gap that the guest sees in 8 s of a command, over and over: each takes the host's CPUs from the guest.
gap_of() { # COMMAND...
	local end=$((SECONDS + 8))
	guest 'gap 8 >/tmp/gap &'
	while [ $SECONDS -lt $end ]; do
		"$@" >"$dir/gap" 2>&1 || { sed 's/^/# gap> /' "$dir/gap"; break; }
	done
	guest 'while pidof gap >/dev/null; do sleep 0.2; done; cat /tmp/gap'
}
switched=0
switch_key() { # of 76 sites
	switched=$((switched + 1))
	"$vmpoke" key set "$sock" sched_schedstats $([ $((switched % 2)) = 1 ] && echo on || echo off)
}
gap_none=$(gap_of sleep 1)
gap_looking=$(gap_of "$vmpoke" read "$sock" vfs_read)
gap_patching=$(gap_of switch_key)
echo "# the longest gap that the guest saw in 8 s: $gap_none us with nothing, $gap_looking us with vmpoke reading, $gap_patching us with a key switched"
ok "it is at most twice as long as while vmpoke reads" test "$gap_patching" -le $((2 * (gap_looking > gap_none ? gap_looking : gap_none)))
for ((i = 0; i < ${KEYS:-10}; i++)); do
	switch_key >"$dir/key" 2>&1 || { sed 's/^/# key> /' "$dir/key"; break; }
done
ok "a key of 76 sites, ${KEYS:-10} times" test $i = "${KEYS:-10}"
show key "$vmpoke" key set "$sock" sched_schedstats off
ok "the guest sees it off" test "$(schedstats '')" = 0
ok "the guest's own sysctl switches it on" test "$(schedstats 'echo 1 >/proc/sys/kernel/sched_schedstats;')" = 1
ok "vmpoke switches it off" show key "$vmpoke" key set "$sock" sched_schedstats off
seconds keys

ok "the guest shows its own load" eval '! grep -q "all 42" <(guest "cat /proc/loadavg")'
ok "a hotfix of three functions is applied" show hotfix "$vmpoke" hotfix apply "$sock" \
	/inner/three-together.o --json
ok "the guest runs it" grep -q "all 42" <(guest 'cat /proc/loadavg')
ok "it is listed" grep -q three-together <(show list "$vmpoke" hotfix list "$sock")
ok "it is removed" show hotfix "$vmpoke" hotfix remove "$sock" three-together --json
ok "the guest shows its own load again" eval '! grep -q "all 42" <(guest "cat /proc/loadavg")'
seconds hotfix

ok "QEMU has told of no stop" eval '! grep -q STOP "$dir/events"'
ok "QEMU's owner stops it" grep -q return <(qmp '{"execute":"stop"}')
ok "vmpoke says so" grep -q paused <(show status "$vmpoke" status "$sock")
ok "a key is set all the same" show key "$vmpoke" key set "$sock" sched_schedstats on
ok "and it goes on" grep -q return <(qmp '{"execute":"cont"}')
ok "the guest sees the key" test "$(schedstats '')" = 1
ok "off again" show key "$vmpoke" key set "$sock" sched_schedstats off
seconds pause

# A breakpoint of QEMU's debugger, and its steps, while vmpoke patches elsewhere.
at=$("$vmpoke" sym "$sock" __x64_sys_getppid | sed -n 's/^0x\([0-9a-f]*\) .*/\1/p')
flip() { # N: a hot function there and back
	local i
	for ((i = 0; i < $1; i++)); do
		"$vmpoke" poke "$sock" vfs_read --old 0f1f440000 --new 0f1f440008 --strategy int3 --force --quiet &&
			"$vmpoke" revert "$sock" --strategy int3 --quiet || return
	done >"$dir/flip" 2>&1
}
gdb_begin
gdb_packet '?'
ok "QEMU's debugger holds the VM" gdb_await 'T0[0-9a-f]' 1
gdb_packet "Z0,$at,1"
ok "it sets a breakpoint" gdb_await '\$OK#9a' 1
flip 3 &
gdb_packet c
number=$(($(guest_last) + 1))
guest_send 'sh -c "echo \$PPID" >/dev/null'
ok "it is hit, amid pokes" gdb_await 'T05' 2
for i in 1 2 3; do
	gdb_packet s
	gdb_await 'T05' $((2 + i)) || break
done
ok "it steps, 3 times" gdb_await 'T05' 5
gdb_packet "z0,$at,1"
ok "its breakpoint goes" gdb_await '\$OK#9a' 2
gdb_packet c
wait $!
ok "the pokes went on" test $? = 0
ok "the guest answers" guest_wait $number
gdb_end
seconds debugger

# A vCPU more, amid pokes.
flip 3 &
qmp '{"execute":"device_add","arguments":{"id":"more","driver":"host-x86_64-cpu","socket-id":2,"core-id":0,"thread-id":0}}' |
	sed 's/^/# qmp: /'
ok "the guest has a vCPU more" test "$(guest 'echo 1 >/sys/devices/system/cpu/cpu2/online; nproc')" = 3
wait $!
ok "the pokes went on" test $? = 0
ok "vmpoke knows it" grep -q '3 vCPUs' <(show status "$vmpoke" status "$sock")
show key "$vmpoke" key set "$sock" sched_schedstats on
ok "a key is set with it" test "$(schedstats '')" = 1
show key "$vmpoke" key set "$sock" sched_schedstats off
seconds plugged

ok "the load saw nothing wrong" guest 'load check'
guest 'load stop'
guest 'dmesg -r | grep -E "^<[0-4]>"' >"$dir/dmesg"
sed 's/^/# guest: /' "$dir/dmesg"
ok "the guest's kernel did not complain" eval '! grep -E "WARNING: CPU|BUG|Oops|stall|lockup" "$dir/dmesg"'

# It starts again: another boot, at other addresses.
guest_send 'reboot -f'
ok "the guest starts again" guest_wait 0 2
ok "its key is set" show key "$vmpoke" key set "$sock" sched_schedstats on
ok "the guest sees it" test "$(schedstats '')" = 1
ok "what was before is no more" grep -q '1 poke' <(show status "$vmpoke" status "$sock")
seconds again

# It is saved amid pokes, and goes on without the library.
guest 'load start'
for ((;;)); do flip 100; done & # while it is saved they are refused
flipper=$!
sleep 3
qmp "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:cat >$dir/image\"}}" >/dev/null
for ((i = 0; i < 300; i++)); do
	grep -q '"completed"' <(qmp '{"execute":"query-migrate"}') && break
done
kill $flipper
wait $flipper 2>/dev/null
ok "it is saved amid pokes" test $i -lt 300
sed 's/^/# flip> /' "$dir/flip" | tail -n 3
qmp '{"execute":"quit"}' >/dev/null
guest_end
sed 's/^/# qemu: /' "$dir/messages"
guest_vmm=("${qemu[@]}" -device host-x86_64-cpu,id=more,socket-id=2,core-id=0,thread-id=0 -incoming "exec:cat $dir/image")
guest_resume "${kernel[@]}"
ok "the guest goes on without the library" eval 'guest true || guest true' # what is typed first may be lost
ok "its load saw nothing wrong" guest 'load check'
guest 'dmesg -r | grep -E "^<[0-4]>"' >"$dir/dmesg"
ok "its kernel did not complain" eval '! grep -E "WARNING: CPU|BUG|Oops|stall|lockup" "$dir/dmesg"'
ok "its key is as it was" test "$(schedstats '')" = 1
seconds saved

guest_send 'poweroff -f'
guest_end
ok "power off ends QEMU with 0" test $? = 0
sed 's/^/# qemu: /' "$dir/messages"
seconds end
exit $failed
