#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ../vmx-linux.sh runs on the emulated host.
set -u
. /vmpoke/tests/rigs/linux/inside.sh
seconds() { echo "# $1: $(cut -d. -f1 /proc/uptime) s"; }

ok "a stock kernel boots to a shell" guest_boot --kernel /inner/vmlinuz --initrd /inner/initrd \
	--vcpus 2 --memory 256 --append "quiet cryptomgr.notests mitigations=off"
[ $failed = 0 ] || exit 1
seconds booted
show info "$vmpoke" info "$sock" --json
ok "int3s come out as KVM_EXIT_DEBUG" grep -q '"trap-route": "KVM_EXIT_DEBUG"' "$dir/info"
ok "the kernel is known" grep -q '"release": "6' "$dir/info"
seconds known

guest 'load start'
ok "a load runs" guest 'load check'
seconds load

# getppid goes on in getpid. The entry nops are ftrace's: by int3 only with --force.
ok "int3 at an entry nop is refused without --force" eval '! show poke "$vmpoke" poke "$sock" \
	__x64_sys_getppid --old 0f1f440000 --new jmp:__x64_sys_getpid --strategy int3'
ok "before: a shell has a parent" parent
for i in 1 2; do
	show poke "$vmpoke" poke "$sock" __x64_sys_getppid --old 0f1f440000 --new jmp:__x64_sys_getpid \
		--strategy int3 --force --resume emulate
	ok "poke $i by int3" grep -q applied "$dir/poke"
	ok "the guest runs the new code" eval '! parent'
	show revert "$vmpoke" revert "$sock" --strategy int3
	ok "revert $i by int3" grep -q reverted "$dir/revert"
	ok "the guest runs the old code" parent
done
seconds pokes

# Traps: a function that the load calls all the time.
for ((i = 0; i < 8; i++)); do
	show hot "$vmpoke" poke "$sock" vfs_read --old 0f1f440000 --new 0f1f440008 --strategy int3 \
		--force --resume park &&
		show hot "$vmpoke" revert "$sock" --strategy int3 || break
done
ok "8 times another nop, and back, where the load runs" test $i = 8
show info "$vmpoke" info "$sock" --json
ok "vCPUs ran into our int3s" grep -qE '"(emulate|park)": [1-9]' "$dir/info"
seconds hot

schedstats() { guest "$1cat /proc/sys/kernel/sched_schedstats"; }
for value in on off; do
	ok "key set $value by int3" show key "$vmpoke" key set "$sock" sched_schedstats $value \
		--strategy int3
	ok "the guest sees it" test "$(schedstats '')" = "$([ $value = on ] && echo 1 || echo 0)"
done
ok "the guest's own sysctl switches it on" test \
	"$(schedstats 'echo 1 >/proc/sys/kernel/sched_schedstats;')" = 1
ok "vmpoke switches it off" show key "$vmpoke" key set "$sock" sched_schedstats off
ok "the guest sees that" test "$(schedstats '')" = 0
seconds keys

# Calls of guest functions get the memory: breakpoints are int3s here, and exits.
ok "the guest shows its own load" eval '! grep -q "all 42" <(guest "cat /proc/loadavg")'
ok "a hotfix of three functions is applied" show hotfix "$vmpoke" hotfix apply "$sock" \
	/inner/three-together.o --json
ok "the guest runs it" grep -q "all 42" <(guest 'cat /proc/loadavg')
ok "it is listed" grep -q three-together <(show list "$vmpoke" hotfix list "$sock")
ok "it is removed" show hotfix "$vmpoke" hotfix remove "$sock" three-together --json
ok "and its memory freed" eval '! grep -q memory-stays "$dir/hotfix"'
ok "the guest shows its own load again" eval '! grep -q "all 42" <(guest "cat /proc/loadavg")'
seconds hotfix

ok "the load saw nothing wrong" guest 'load check'
guest 'load stop'
guest 'dmesg -r | grep -E "^<[0-4]>"' >"$dir/dmesg"
sed 's/^/# guest: /' "$dir/dmesg"
ok "the guest's kernel did not complain" eval '! grep -E "WARNING: CPU|BUG|Oops|stall|lockup" "$dir/dmesg"'
guest_send 'poweroff -f'
guest_end
ok "power off ends vmpoke with 0" test $? = 0
seconds end
exit $failed
