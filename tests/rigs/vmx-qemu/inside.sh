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

guest_vmm=(env LD_PRELOAD=/vmpoke/build/libvmpoke-kvm.so qemu-system-x86_64 -nodefaults -no-user-config
	-display none -accel kvm -cpu host -m 256 -smp 2 -name web1 -sandbox on
	-serial stdio -gdb "unix:$dir/gdb,server=on,wait=off"
	-qmp "unix:$dir/qmp,server=on,wait=off" -qmp "unix:$dir/qmp2,server=on,wait=off")
ok "a stock kernel boots to a shell" guest_boot -kernel /inner/vmlinuz -initrd /inner/initrd \
	-append "console=ttyS0 quiet cryptomgr.notests mitigations=off audit=0 ipv6.disable=1 tsc=reliable"
sed 's/^/# qemu: /' "$dir/messages"
[ $failed = 0 ] || exit 1
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
for ((i = 0; i < ${KEYS:-10}; i++)); do
	show key "$vmpoke" key set "$sock" sched_schedstats $([ $((i % 2)) = 0 ] && echo on || echo off) || break
done
ok "a key of 76 sites, ${KEYS:-10} times" test $i = "${KEYS:-10}"
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

ok "the load saw nothing wrong" guest 'load check'
guest 'load stop'
guest 'dmesg -r | grep -E "^<[0-4]>"' >"$dir/dmesg"
sed 's/^/# guest: /' "$dir/dmesg"
ok "the guest's kernel did not complain" eval '! grep -E "WARNING: CPU|BUG|Oops|stall|lockup" "$dir/dmesg"'
guest_send 'poweroff -f'
guest_end
ok "power off ends QEMU with 0" test $? = 0
sed 's/^/# qemu: /' "$dir/messages"
seconds end
exit $failed
